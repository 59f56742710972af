"""Pure questions about who is connected where, asked of the management frontend's answers.

A *container* here is a verbose object of ``/admin/get_all_containers``; a *worker* an object of
``/admin/get_workers`` with its ``replicas``.
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
        if container["model_name"] == name and str(container["model_version"]) == version
    ]


def connected_count(containers: Iterable[Container], name: str, version: str) -> int:
    """Count the instances that reached at least one worker and are not on their way out."""
    staying = [c for c in of_version(containers, name, version) if c.get("state") != "draining"]
    return len({c.get("instance_id", c.get("model_replica_id")) for c in staying})


def ready_counts(workers: Iterable[Worker], name: str, version: str) -> dict[str, int]:
    """Return for every live worker how many instances of the version it may send queries to."""
    return {
        str(worker["worker_id"]): sum(
            replica.get("state") == "ready"
            for replica in of_version(worker["replicas"], name, version)
        )
        for worker in workers
    }


def listed_counts(workers: Iterable[Worker], name: str, version: str) -> dict[str, int]:
    """Return for every live worker how many instances of the version it still knows."""
    return {
        str(worker["worker_id"]): len(of_version(worker["replicas"], name, version))
        for worker in workers
    }


def all_equal(counts: Mapping[str, int], target: int) -> bool:
    """Whether there is a worker and every worker has exactly the target."""
    return bool(counts) and all(count == target for count in counts.values())


def all_reach(counts: Mapping[str, int], target: int) -> bool:
    """Whether there is a worker and every worker has the target or more."""
    return bool(counts) and all(count >= target for count in counts.values())
