"""Names of the original admin library, for scripts written against it (spec §10.1).

Nothing but aliases. Importing it starts nothing, configures no logging, creates no directory.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

from clipper import __version__
from clipper.admin.cluster import DEFAULT_PREDICTION_CACHE_SIZE_BYTES, REGISTRY
from clipper.admin.connection import ClipperConnection
from clipper.errors import ClipperException, UnconnectedException
from clipper_admin import deployers
from clipper_admin.managers import MANAGERS, manager_class

if TYPE_CHECKING:
    from clipper.managers.base import ContainerManager
    from clipper.managers.local import LocalContainerManager

    DockerContainerManager: type[ContainerManager]
    KubernetesContainerManager: type[ContainerManager]

__registry__ = REGISTRY

CLIPPER_TEMP_DIR = os.path.join(tempfile.gettempdir(), "clipper")
"""Where tests may put files; made by whoever uses it."""

DEFAULT_LABEL: list[str] = []

__all__ = [
    "CLIPPER_TEMP_DIR",
    "DEFAULT_LABEL",
    "DEFAULT_PREDICTION_CACHE_SIZE_BYTES",
    "ClipperConnection",
    "ClipperException",
    "DockerContainerManager",
    "KubernetesContainerManager",
    "LocalContainerManager",
    "UnconnectedException",
    "__registry__",
    "__version__",
    "deployers",
]


def __getattr__(name: str) -> Any:
    # Managers are found when asked for: each may need libraries that others do without.
    if name in MANAGERS:
        return manager_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
