"""What of a cluster runs, for people and for `clipper doctor`. Pure but for the given time."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from clipper.managers.base import ClusterStatus, ProcessRow
from clipper.managers.kubernetes import failures, names
from clipper.managers.kubernetes.models import model_of

_ROLE_NAMES = {
    names.STORE: "store",
    names.MANAGEMENT: "management-frontend",
    names.QUERY: "query-frontend",
    names.METRICS: "prometheus",
}
"""As local mode and the command line call them."""

_PID_IN_CONTAINER = 1


def cluster_status(
    cluster_name: str,
    namespace: str,
    workloads: Sequence[Mapping[str, Any]],
    pods: Sequence[Mapping[str, Any]],
    now: datetime.datetime,
) -> ClusterStatus:
    """Return the status, from the workloads that should run and the pods that do."""
    counted: collections.Counter[str] = collections.Counter()
    rows: list[ProcessRow] = []
    for pod in reversed(pods):
        role = role_name(pod)
        rows.append(_row(pod, namespace, role, counted[role], now))
        counted[role] += 1
    running = bool(workloads)
    return {
        "cluster": cluster_name,
        "state": "running" if running else "stopped",
        "state_dir": f"Kubernetes namespace {namespace}",
        "supervisor": None,
        "services": {role_name(one): int(one["spec"].get("replicas", 1)) for one in workloads},
        "children": rows,
    }


def role_name(one: Mapping[str, Any]) -> str:
    """Return the role as `ProcessRow` has it."""
    role = one["metadata"]["labels"].get(names.ROLE_LABEL, "")
    if role == names.MODEL:
        model = model_of(one)
        return f"model:{model.name}:{model.version}"
    return _ROLE_NAMES.get(role, "unknown")


def _row(
    pod: Mapping[str, Any], namespace: str, role: str, index: int, now: datetime.datetime
) -> ProcessRow:
    container = _main_container(pod)
    runs = bool(container.get("state", {}).get("running"))
    return {
        "role": role,
        "index": index,
        "pid": _PID_IN_CONTAINER if runs else None,
        "state": _state(pod, container),
        "restarts": int(container.get("restartCount", 0)),
        "early_deaths": failures.early_deaths(container),
        "last_exit": failures.last_exit(container),
        "uptime_s": failures.uptime_s(container, now),
        "log": f"kubectl -n {namespace} logs {pod['metadata']['name']}",
    }


def _main_container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status of the pod's first container; statuses are in the order of their names."""
    name = pod["spec"]["containers"][0]["name"]
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return next((status for status in statuses if status["name"] == name), {})


def _state(pod: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "ending"
    waiting = container.get("state", {}).get("waiting")
    if waiting:
        return str(waiting.get("reason", "waiting"))
    if container.get("state", {}).get("running"):
        return "running (ready)" if container.get("ready") else "running (not ready)"
    return str(pod.get("status", {}).get("phase", "unknown")).lower()
