"""Old place of the Kubernetes container manager."""

from __future__ import annotations

from typing import Any

from clipper_admin.managers import manager_class


def __getattr__(name: str) -> Any:
    if name == "KubernetesContainerManager":
        return manager_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
