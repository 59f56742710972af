"""Packages that only some managers need, and what to do where one is missing. Pure."""

from __future__ import annotations

from clipper.errors import ClipperException

_EXTRAS = {
    "kubernetes": "kubernetes",
}
"""Top-level module → the extra of the distribution that installs it."""


def explained(error: ModuleNotFoundError) -> Exception:
    """Return the failed import as an error with the next step, or as it is if it is another one."""
    missing = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(missing)
    if extra is None:
        return error
    return ClipperException(
        f"Clusters on Kubernetes need the package {missing!r}, which is not installed: "
        f"pip install 'clipper-serving[{extra}]'"
    )
