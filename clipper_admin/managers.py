"""Where the container managers live, and what stands in for one that this version lacks."""

from __future__ import annotations

import importlib
from typing import Any

from clipper.errors import ClipperException

MANAGERS = {
    "DockerContainerManager": "clipper.managers.docker",
    "KubernetesContainerManager": "clipper.managers.kubernetes",
    "LocalContainerManager": "clipper.managers.local",
}


def manager_class(name: str) -> type[Any]:
    """Return a manager's class, or a class that refuses to be constructed and says why."""
    module = MANAGERS[name]
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return _stand_in(name)


def _stand_in(name: str) -> type[Any]:
    def refuse(self: object, *args: object, **kwargs: object) -> None:
        raise ClipperException(
            f"{name} is not part of this version; use DockerContainerManager or "
            "LocalContainerManager"
        )

    return type(name, (), {"__init__": refuse, "__doc__": "Not part of this version."})
