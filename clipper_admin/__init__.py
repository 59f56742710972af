"""Names of the original admin library, for scripts written against it (spec §10.1).

Nothing but aliases. Importing it starts nothing, configures no logging, creates no directory. Names
are looked up when they are asked for: a prediction function that reports metrics imports this
package inside a model container, which has none of the client's libraries.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from typing import TYPE_CHECKING, Any

from clipper import __version__

if TYPE_CHECKING:
    from clipper.admin.cluster import DEFAULT_PREDICTION_CACHE_SIZE_BYTES
    from clipper.admin.connection import ClipperConnection
    from clipper.errors import ClipperException, UnconnectedException
    from clipper.managers.base import ContainerManager
    from clipper.managers.local import LocalContainerManager
    from clipper_admin import deployers

    __registry__: str
    DockerContainerManager: type[ContainerManager]
    KubernetesContainerManager: type[ContainerManager]

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

_HOMES = {
    "DEFAULT_PREDICTION_CACHE_SIZE_BYTES": ("clipper.admin.cluster", None),
    "ClipperConnection": ("clipper.admin.connection", None),
    "ClipperException": ("clipper.errors", None),
    "UnconnectedException": ("clipper.errors", None),
    "__registry__": ("clipper.managers.stock_images", "REGISTRY"),
}
"""Name → module, and the name there if it is another."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute or name)
    if name == "deployers":
        return importlib.import_module("clipper_admin.deployers")
    managers = importlib.import_module("clipper_admin.managers")
    if name in managers.MANAGERS:
        return managers.manager_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
