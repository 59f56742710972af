"""Everything about a cluster that `clipper doctor` looks at, read from the API server."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from clipper.errors import ClipperException
from clipper.managers.kubernetes import failures, rights, starting, store
from clipper.managers.kubernetes.api import ClusterAbsent, KubernetesApi, Object, Refused
from clipper.managers.kubernetes.inventory import Inventory
from clipper.managers.kubernetes.settings import KubernetesSettings

_DNS_NAMESPACE, _DNS_SERVICE = "kube-system", "kube-dns"
_EVERYTHING = "*"
NO_NAMESPACE = "Absent"

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What there is of a cluster. What this user may not see is empty, or None where that differs.

    Objects are as the API server gives them.
    """

    cluster: str
    namespace: str
    now: datetime.datetime
    client_version: str
    server: str = ""
    """Version of Kubernetes."""
    namespace_phase: str = ""
    """As Kubernetes has it, or `NO_NAMESPACE`; empty: not known."""
    denied: rights.Denied = dataclasses.field(default_factory=dict)
    anchor: Object | None = None
    workloads: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    """Newest first."""
    services: Sequence[Object] = ()
    ready_services: frozenset[str] | None = None
    """Names of Services with a ready pod behind them."""
    claims: Sequence[Object] = ()
    events: Sequence[Object] = ()
    """Of the whole namespace, oldest first."""
    secrets: frozenset[str] | None = None
    nodes: Sequence[Object] | None = None
    needs_nodes: bool = False
    """Whether this client looks for a node's address to reach the cluster."""
    storage_problem: str = ""
    """Why a store that is started now cannot have a volume."""
    dns_ready: bool | None = None
    """Whether a DNS server of the usual name has a ready pod; None: there is none of that name."""
    logs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Pod → how the log of its container that dies ends."""


def survey(
    api: KubernetesApi,
    settings: KubernetesSettings,
    now: datetime.datetime,
    client_version: str,
    *,
    needs_nodes: bool,
) -> Survey:
    """Read everything that this user may see.

    Raises:
        ClusterAbsent: no API server answers.
    """
    place, inventory = settings.namespace, Inventory(api, settings)
    phase = _seen(lambda: _phase(api, place), "")
    nothing = Survey(
        cluster=settings.cluster_name,
        namespace=place,
        now=now,
        client_version=client_version,
        server=api.server_version(),
        namespace_phase=phase,
        needs_nodes=needs_nodes,
    )
    if phase == NO_NAMESPACE:
        return nothing
    pods: Sequence[Object] = _seen(lambda: inventory.pods(), ())
    return dataclasses.replace(
        nothing,
        denied=_denied(api, place),
        anchor=_seen(inventory.anchor, None),
        workloads=_seen(inventory.workloads, []),
        pods=pods,
        services=_seen(lambda: inventory.of_kind("v1", "Service"), []),
        ready_services=_seen(lambda: _ready(api.list("v1", "Endpoints", place)), None),
        claims=_seen(lambda: inventory.of_kind("v1", "PersistentVolumeClaim"), []),
        events=_seen(lambda: _events(api, place), []),
        secrets=_seen(lambda: _names(api.list("v1", "Secret", place)), None),
        nodes=_seen(lambda: api.list("v1", "Node"), None),
        storage_problem=_storage_problem(api, settings),
        dns_ready=_seen(lambda: _dns_ready(api), None),
        logs=_logs(api, settings, pods),
    )


def _logs(
    api: KubernetesApi, settings: KubernetesSettings, pods: Sequence[Object]
) -> Mapping[str, str]:
    found = {}
    for pod in pods:
        trouble = failures.trouble_of(pod)
        if trouble is not None and trouble.container:
            found[trouble.pod] = starting.log_end(
                api, settings, trouble.pod, trouble.container, previous=trouble.previous
            )
    return found


def _seen(read: Callable[[], _T], unseen: _T) -> _T:
    """Read something; return the other value if this user may not."""
    try:
        return read()
    except Refused:
        return unseen


def _phase(api: KubernetesApi, namespace: str) -> str:
    found = api.get("v1", "Namespace", namespace)
    return NO_NAMESPACE if found is None else str(found.get("status", {}).get("phase", ""))


def _denied(api: KubernetesApi, namespace: str) -> rights.Denied:
    if api.may(_EVERYTHING, _EVERYTHING, namespace, _EVERYTHING):
        return {}
    found = {}
    for (group, resource), verbs in rights.RIGHTS.items():
        missing = [verb for verb in verbs if not api.may(verb, resource, namespace, group)]
        if missing:
            found[group, resource] = missing
    return found


def _ready(endpoints: Sequence[Object]) -> frozenset[str]:
    return _names(
        [one for one in endpoints if any(s.get("addresses") for s in one.get("subsets") or ())]
    )


def _names(objects: Sequence[Object]) -> frozenset[str]:
    return frozenset(str(one["metadata"]["name"]) for one in objects)


def _events(api: KubernetesApi, namespace: str) -> Sequence[Object]:
    return sorted(api.list("v1", "Event", namespace), key=_moment)


def _moment(event: Mapping[str, Any]) -> str:
    """Return when an event was last seen; several API versions fill several fields."""
    series = event.get("series") or {}
    moments = (
        series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )  # fmt: skip
    return str(next((one for one in moments if one), ""))


def _storage_problem(api: KubernetesApi, settings: KubernetesSettings) -> str:
    try:
        store.require_storage(api, settings)
    except ClusterAbsent:
        raise
    except ClipperException as error:
        return error.msg
    return ""


def _dns_ready(api: KubernetesApi) -> bool | None:
    found = api.get("v1", "Endpoints", _DNS_SERVICE, _DNS_NAMESPACE)
    return None if found is None else bool(_ready([found]))
