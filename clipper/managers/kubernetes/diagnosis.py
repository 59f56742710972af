"""From what there is of a cluster on Kubernetes to findings with a next step. Pure.

Pods are looked at in `clipper.managers.kubernetes.pod_diagnosis`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clipper.managers.findings import Finding
from clipper.managers.kubernetes import addresses, names, rights
from clipper.managers.kubernetes.pod_diagnosis import examine_pods
from clipper.managers.kubernetes.survey import NO_NAMESPACE, Survey

_VERSION_LABEL = "app.kubernetes.io/version"
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_WAITS_FOR_POD = ("WaitForFirstConsumer", "WaitForPodScheduled")
"""Reasons of a volume's events: it is made when its pod has a node."""


def examine(found: Survey) -> list[Finding]:
    """Return what is well and what is not, in the order in which to mend it."""
    checks = (_kubernetes, _namespace) if found.namespace_phase == NO_NAMESPACE else _CHECKS
    return [finding for check in checks for finding in check(found)]


def _kubernetes(found: Survey) -> Iterator[Finding]:
    yield Finding("Kubernetes", f"{found.server} answers")


def _namespace(found: Survey) -> Iterator[Finding]:
    name = found.namespace
    if found.namespace_phase == NO_NAMESPACE:
        yield Finding(
            "namespace",
            f"{name} does not exist",
            f"Make it with `kubectl create namespace {name}` or `clipper up --create-namespace`, "
            "or choose another one with --namespace",
        )
    elif found.namespace_phase == "Terminating":
        yield Finding(
            "namespace",
            f"{name} is being removed, with all that is in it",
            f"Wait until it is gone; `kubectl get namespace {name} -o yaml` says what keeps it",
        )
    else:
        yield Finding("namespace", name)


def _rights(found: Survey) -> Iterator[Finding]:
    if found.denied:
        yield Finding(
            "rights",
            f"this user may not, in namespace {found.namespace}: {rights.describe(found.denied)}",
            f"Ask whoever administers namespace {found.namespace} for a Role with these verbs on "
            "these resources and a RoleBinding of it to this user; the page kubernetes.md of the "
            "documentation has the whole Role. Without them, some of what follows is not known",
        )
    else:
        yield Finding("rights", "this user may do all that Clipper does in the namespace")
    by_node = [one for one in found.services if addresses.needs_node(one)]
    if found.nodes is None and found.needs_nodes and by_node:
        yield Finding(
            "rights",
            "this user may not list nodes, so no node is known whose ports lead to the cluster",
            "Run `kubectl proxy` and give --proxy 127.0.0.1:8001, use `clipper up --service-type "
            "query=LoadBalancer --service-type management=LoadBalancer`, or ask whoever "
            "administers the Kubernetes cluster for a ClusterRole with list on nodes",
        )


def _nodes(found: Survey) -> Iterator[Finding]:
    if not found.nodes:
        return
    ready = 0
    for node in found.nodes:
        name = node["metadata"]["name"]
        conditions = {one["type"]: one for one in node.get("status", {}).get("conditions") or ()}
        state = conditions.get("Ready", {})
        ready += state.get("status") == "True"
        if state.get("status") != "True":
            why = state.get("message") or "its kubelet says nothing"
            yield Finding("nodes", f"{name} is not ready: {why}", f"`kubectl describe node {name}`")
            continue
        for kind in _PRESSURES:
            if conditions.get(kind, {}).get("status") == "True":
                yield Finding(
                    "nodes",
                    f"{name} has {kind}: {conditions[kind].get('message', '')}",
                    f"Make room on it, or add nodes: `kubectl describe node {name}`",
                )
    if ready:
        yield Finding("nodes", f"{ready} of {len(found.nodes)} ready")


def _storage(found: Survey) -> Iterator[Finding]:
    if found.anchor is None and found.storage_problem:
        yield Finding(
            "storage",
            "no default storage class, so `clipper up` cannot give the store a volume",
            found.storage_problem,
        )
    for claim in found.claims:
        name, phase = claim["metadata"]["name"], claim.get("status", {}).get("phase")
        if phase == "Bound":
            yield Finding("storage", f"volume claim {name} is bound")
            continue
        said, reason = _last_event(found, "PersistentVolumeClaim", str(name))
        if reason in _WAITS_FOR_POD:
            yield Finding("storage", f"volume claim {name} waits until its pod has a node")
            continue
        wanted = claim["spec"].get("storageClassName")
        kind = f"of storage class {wanted}" if wanted else "of the default storage class"
        yield Finding(
            "storage",
            f"volume claim {name} {kind} is {str(phase).lower()}: {said or 'nothing says why'}",
            f"`kubectl get storageclass` lists the classes: name one that makes volumes with "
            f"`clipper up --storage-class` after `clipper down` and `kubectl -n {found.namespace} "
            f"delete pvc {name}`, or let `clipper up --no-storage` do without",
        )


def _workloads(found: Survey) -> Iterator[Finding]:
    """Deployments and StatefulSets whose pods are not even made."""
    for one in found.workloads:
        name, wanted = one["metadata"]["name"], int(one["spec"].get("replicas", 1))
        made = int(one.get("status", {}).get("replicas", 0))
        said = _refused_creation(found, str(name)) if made < wanted else ""
        if said:
            yield Finding(
                "pods",
                f"{name} has {made} of {wanted} pods, since no more can be made: {said}",
                _creation_step(found, said),
            )


def _creation_step(found: Survey, message: str) -> str:
    if "quota" in message:
        return f"Raise it, or ask for less: `kubectl -n {found.namespace} describe resourcequota`"
    if "PodSecurity" in message or "security" in message.lower():
        return "Ask whoever administers the namespace which pods it admits, and why not these"
    if "serviceaccount" in message.lower():
        return "`clipper up` makes anew what is missing of the cluster"
    return f"`kubectl -n {found.namespace} get events` has more"


def _services(found: Survey) -> Iterator[Finding]:
    needed = {
        names.of_cluster(part, found.cluster): role
        for part, role in (
            ("redis", "store"),
            ("mgmt-frontend", "management frontend"),
            ("query-frontend", "query frontends"),
            ("metrics", "Prometheus"),
        )
    }
    for service in found.services:
        name = service["metadata"]["name"]
        balanced = service["spec"].get("type") == "LoadBalancer"
        if balanced and addresses.balancer_address(service) is None:
            yield Finding(
                "services",
                f"{name} is of type LoadBalancer and has no address",
                "The cloud gives it one, in minutes; a Kubernetes without load balancers never "
                f"does: `clipper up --service-type {_key(name)}=NodePort`, or --proxy with "
                f"`kubectl proxy`. `kubectl -n {found.namespace} describe service {name}` has more",
            )
        unready = found.ready_services is not None and name not in found.ready_services
        if unready and name in needed:
            yield Finding(
                "services",
                f"{name} has no ready pod behind it: the {needed[name]} cannot be reached",
                "See what is said of its pods above, and wait for those that start",
            )
    if found.anchor is not None and not found.services and not found.denied:
        yield Finding("services", "there are none", "`clipper up` makes anew what is missing")


def _key(service: str) -> str:
    """Return what `--service-type` calls a Service."""
    for beginning, key in (("mgmt", "management"), ("metrics", "metric"), ("redis", "redis")):
        if service.startswith(beginning):
            return key
    return "query" if service.startswith("query-frontend-at") else "query-rpc"


def _version(found: Survey) -> Iterator[Finding]:
    if found.anchor is None:
        return
    running = (found.anchor["metadata"].get("labels") or {}).get(_VERSION_LABEL)
    if running is None or running == found.client_version:
        yield Finding("version", f"cluster and client are of Clipper {found.client_version}")
        return
    yield Finding(
        "version",
        f"the cluster was started with Clipper {running}, this is Clipper {found.client_version}",
        f"`clipper up` brings the cluster to {found.client_version}; or use Clipper {running} here",
    )


def _dns(found: Survey) -> Iterator[Finding]:
    if found.dns_ready is False:
        yield Finding(
            "DNS",
            "the DNS of the Kubernetes cluster has no ready pod: pods do not find each other",
            "`kubectl -n kube-system get pods -l k8s-app=kube-dns`",
        )


def _last_event(found: Survey, kind: str, name: str) -> tuple[str, str]:
    """Return message and reason of the last event about an object; empty: there is none."""
    for event in reversed(found.events):
        about = event.get("involvedObject", {})
        if about.get("kind") == kind and about.get("name") == name:
            return " ".join(str(event.get("message", "")).split()), str(event.get("reason", ""))
    return "", ""


def _refused_creation(found: Survey, workload: str) -> str:
    """Return why no pod of a workload could be made last; empty: nothing says so."""
    for event in reversed(found.events):
        name = str(event.get("involvedObject", {}).get("name", ""))
        owned = name == workload or name.rpartition("-")[0] == workload  # by its ReplicaSet
        if owned and event.get("reason") == "FailedCreate":
            return " ".join(str(event.get("message", "")).split())
    return ""


_CHECKS: tuple[Callable[[Survey], Iterator[Finding]], ...] = (
    _kubernetes,
    _namespace,
    _rights,
    _nodes,
    _dns,
    _storage,
    _workloads,
    examine_pods,
    _services,
    _version,
)
