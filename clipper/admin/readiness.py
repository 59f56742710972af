"""Pure questions about who is connected where, asked of the management frontend's answers.

A *container* here is a verbose object of ``/admin/get_all_containers``, whose ``worker_states``
says how each frontend worker sees it; a *worker* is an object of ``/admin/get_workers``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Container = Mapping[str, Any]
Worker = Mapping[str, Any]


def of_version(containers: Iterable[Container], name: str, version: str) -> list[Container]:
    """Return the containers of one model version."""
    return [
        container
        for container in containers
        if container["model_name"] == name and container["model_version"] == version
    ]


def connected_count(containers: Iterable[Container], name: str, version: str) -> int:
    """Count the containers that reached a worker and are not on their way out."""
    return sum(c["state"] != "draining" for c in of_version(containers, name, version))


def probe_failed(containers: Iterable[Container], name: str, version: str) -> bool:
    """Whether a worker has asked a container the probe input and got no answer to it."""
    mine = of_version(containers, name, version)
    return any("probe-failed" in one["worker_states"].values() for one in mine)


def ready_count(
    workers: Iterable[Worker], containers: Iterable[Container], name: str, version: str
) -> int:
    """Count the containers that every live worker may send queries to; 0 without a worker."""
    ids = [worker["worker_id"] for worker in workers]
    if not ids:
        return 0
    return sum(
        all(container["worker_states"].get(worker_id) == "ready" for worker_id in ids)
        for container in of_version(containers, name, version)
    )
