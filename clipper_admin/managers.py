"""Where the container managers live, and what stands in for one whose packages are missing."""

from __future__ import annotations

import importlib
from typing import Any

from clipper.errors import ClipperException
from clipper.managers import packages

MANAGERS = {
    "DockerContainerManager": "clipper.managers.docker",
    "KubernetesContainerManager": "clipper.managers.kubernetes",
    "LocalContainerManager": "clipper.managers.local",
}


def manager_class(name: str) -> type[Any]:
    """Return a manager's class, or a class that refuses to be constructed and says why."""
    try:
        return getattr(importlib.import_module(MANAGERS[name]), name)  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        explained = packages.explained(error)
        if not isinstance(explained, ClipperException):
            raise
        return _stand_in(name, explained.msg)


def _stand_in(name: str, reason: str) -> type[Any]:
    def refuse(self: object, *args: object, **kwargs: object) -> None:
        raise ClipperException(reason)

    return type(name, (), {"__init__": refuse, "__doc__": reason})
