"""What of a cluster runs, for people and for `clipper doctor`. Pure but for the given time."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Sequence

from docker.models.containers import Container

from clipper.managers.base import ClusterStatus, ProcessRow
from clipper.managers.docker import failures, inventory
from clipper.managers.docker.plan import volume_name
from clipper.managers.docker.specs import PARTS_LABEL, ROLE_LABEL, Role

MISSING = "removed"
"""State of a part whose container somebody removed."""

_ROLE_NAMES = {
    Role.LOGGING: "fluentd",
    Role.STORE: "store",
    Role.MANAGEMENT: "management-frontend",
    Role.QUERY: "query-frontend",
    Role.METRICS: "prometheus",
}
"""As local mode and the command line call them."""


def cluster_status(
    cluster_name: str, containers: Sequence[Container], now: datetime.datetime
) -> ClusterStatus:
    """Return the status; model containers that a stop left as declarations make no running
    cluster."""
    rows = []
    services: collections.Counter[str] = collections.Counter()
    running = bool(inventory.alive(containers))
    for container in reversed(containers):
        role = role_name(container)
        rows.append(_row(container, role, services[role], now))
        services[role] += 1
    for role in _gone(containers):
        rows.append(_missing_row(role))
        services[role] += 1
    return {
        "cluster": cluster_name,
        "state": "running" if running else "stopped",
        "state_dir": f"Docker volume {volume_name(cluster_name)}",
        "supervisor": None,
        "services": dict(services) if running else {},
        "children": rows if running else [],
    }


def _gone(containers: Sequence[Container]) -> list[str]:
    """Return the parts that the cluster was started with and that have no container now."""
    present = {container.labels.get(ROLE_LABEL) for container in containers}
    parts = {
        part
        for container in containers
        for part in container.labels.get(PARTS_LABEL, "").split(",")
        if part
    }
    return sorted(_ROLE_NAMES.get(Role(part), part) for part in parts - present)


def _missing_row(role: str) -> ProcessRow:
    return {
        "role": role,
        "index": 0,
        "pid": None,
        "state": MISSING,
        "restarts": 0,
        "early_deaths": 0,
        "last_exit": None,
        "uptime_s": None,
        "log": "(its container was removed)",
    }


def role_name(container: Container) -> str:
    """Return the role as `ProcessRow` has it."""
    role = container.labels.get(ROLE_LABEL)
    if role == Role.MODEL:
        model = inventory.model_of(container)
        return f"model:{model.name}:{model.version}"
    return _ROLE_NAMES.get(Role(role), str(role)) if role in list(Role) else "unknown"


def _row(container: Container, role: str, index: int, now: datetime.datetime) -> ProcessRow:
    state = container.attrs["State"]
    ended = bool(container.attrs["RestartCount"]) or container.status in ("exited", "dead")
    return {
        "role": role,
        "index": index,
        "pid": state["Pid"] or None,
        "state": _state(state),
        "restarts": container.attrs["RestartCount"],
        "early_deaths": failures.early_deaths(container.attrs),
        "last_exit": failures.exit_status(state) if ended else None,
        "uptime_s": failures.uptime_s(state, now),
        "log": f"docker logs {container.name}",
    }


def _state(state: dict[str, object]) -> str:
    """Return the engine's word, and what the image's health check says while it runs."""
    health = state.get("Health")
    if state["Status"] == "running" and isinstance(health, dict):
        return f"running ({health.get('Status')})"
    return str(state["Status"])
