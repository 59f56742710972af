"""Old place of the Docker container manager and of its search for a free port."""

from __future__ import annotations

from typing import Any

from clipper.errors import ClipperException
from clipper.managers.ports import is_free
from clipper_admin.managers import manager_class

_HOST = "127.0.0.1"


def __getattr__(name: str) -> Any:
    if name == "DockerContainerManager":
        return manager_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def find_unbound_port(
    start: int | None = None,
    increment: bool = False,
    port_range: tuple[int, int] = (10000, 50000),
) -> int:
    """Return ``start`` if it is free, else the first free port after it or of the range.

    Raises:
        ClipperException: none is free.
    """
    first, last = port_range
    candidates = [start] if start is not None else []
    candidates += range(start + 1 if start is not None and increment else first, last)
    for port in candidates:
        if is_free(_HOST, port):
            return port
    raise ClipperException(f"No free port between {first} and {last}. Pass another port_range")
