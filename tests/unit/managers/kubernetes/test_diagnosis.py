"""`clipper doctor` on Kubernetes: every kind of trouble, from plain objects to words."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

pytest.importorskip("kubernetes")

from clipper.managers.findings import Finding
from clipper.managers.kubernetes import names, rights
from clipper.managers.kubernetes.access import access_objects
from clipper.managers.kubernetes.diagnosis import examine
from clipper.managers.kubernetes.pulling import pull_step
from clipper.managers.kubernetes.settings import KubernetesSettings
from clipper.managers.kubernetes.survey import NO_NAMESPACE, Survey

NOW = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
LONG_AGO, JUST_NOW = "2026-01-01T11:00:00Z", "2026-01-01T11:59:50Z"


def survey(**changed: Any) -> Survey:
    base: dict[str, Any] = {
        "cluster": "c",
        "namespace": "n",
        "now": NOW,
        "client_version": "0.5.0",
        "server": "v1.30.1",
        "namespace_phase": "Active",
        "anchor": named("clipper-at-c", labels={"app.kubernetes.io/version": "0.5.0"}),
        "services": [service("query-frontend-at-c")],
    }
    return Survey(**{**base, **changed})


def named(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}}


def service(name: str, kind: str = "NodePort", **status: Any) -> dict[str, Any]:
    return {**named(name), "spec": {"type": kind, "ports": [{"port": 1337}]}, "status": status}


def pod(name: str = "p", *, spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """Return the pod of a model."""
    container = {"name": "model", "image": "img:1", **(spec or {})}
    secrets = container.pop("imagePullSecrets", [])
    return {
        **named(
            name,
            uid=f"uid-{name}",
            labels={names.ROLE_LABEL: names.MODEL},
            annotations={names.NAME_ANNOTATION: "m", names.VERSION_ANNOTATION: "1"},
        ),
        "spec": {"containers": [container], "imagePullSecrets": secrets},
        "status": status,
    }


def container(**changed: Any) -> list[dict[str, Any]]:
    return [{"name": "model", "image": "img:1", "ready": False, "restartCount": 0, **changed}]


def waiting(reason: str, message: str = "") -> list[dict[str, Any]]:
    return container(state={"waiting": {"reason": reason, "message": message}})


def unscheduled(message: str) -> list[dict[str, Any]]:
    return [{"type": "PodScheduled", "status": "False", "message": message}]


def event(kind: str, name: str, reason: str, message: str) -> dict[str, Any]:
    about = {"kind": kind, "name": name, "uid": f"uid-{name}"}
    return {"involvedObject": about, "reason": reason, "message": message}


def problems(found: Survey) -> list[Finding]:
    return [one for one in examine(found) if one.is_problem]


def only(found: Survey) -> Finding:
    (one,) = problems(found)
    return one


def killed(reason: str = "Error", status: int = 1) -> dict[str, Any]:
    return {
        "terminated": {
            "reason": reason, "exitCode": status, "startedAt": LONG_AGO, "finishedAt": LONG_AGO,
        }
    }  # fmt: skip


POD_TROUBLES: dict[str, tuple[dict[str, Any], str, str]] = {
    "evicted": (
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."},
        "was evicted: The node was low on memory",
        "add nodes",
    ),
    "image": (
        {"containerStatuses": waiting("ImagePullBackOff", "Back-off pulling image img:1")},
        "does not get its image img:1: Back-off pulling image",
        "kind load docker-image img:1",
    ),
    "configuration": (
        {"containerStatuses": waiting("CreateContainerConfigError", 'secret "s" not found')},
        'cannot be made: secret "s" not found',
        "clipper up",
    ),
    "memory, running again": (
        {
            "containerStatuses": container(
                ready=True, restartCount=2, state={"running": {"startedAt": JUST_NOW}},
                lastState=killed("OOMKilled", 137),
            )
        },
        "more memory than its limit of 1Gi; it was restarted 2 times",
        "model_resources",
    ),
    "crash loop": (
        {
            "containerStatuses": container(
                restartCount=4, state={"waiting": {"reason": "CrashLoopBackOff"}},
                lastState=killed(),
            )
        },
        "keeps dying: it exited with status 1, 4 times so far. Last lines of its log:\nboom",
        "clipper logs m:1",
    ),
    "no CPU": (
        {"conditions": unscheduled("0/1 nodes are available: 1 Insufficient cpu.")},
        "1 Insufficient cpu; it asks for 1000 of cpu",
        "clipper scale",
    ),
    "taint": (
        {"conditions": unscheduled("1 node(s) had taint {a: }, that the pod didn't tolerate.")},
        "had taint",
        "kubectl taint nodes",
    ),
    "volume": (
        {"conditions": unscheduled("pod has unbound immediate PersistentVolumeClaims.")},
        "unbound immediate",
        "describe pvc",
    ),
    "cordoned": (
        {"conditions": unscheduled("1 node(s) were unschedulable.")},
        "were unschedulable",
        "kubectl uncordon",
    ),
    "no reason": ({"conditions": unscheduled("")}, "no reason given", "describe pod p"),
    "unready": (
        {"containerStatuses": container(state={"running": {"startedAt": LONG_AGO}})},
        "has run for 3600 s and is not ready",
        "kubectl -n n logs p",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", POD_TROUBLES)
def test_trouble_of_a_pod(kind: str) -> None:
    status, detail, step = POD_TROUBLES[kind]
    spec = {"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1000"}}}
    found = only(survey(pods=[pod(spec=spec, **status)], logs={"p": "boom"}))
    assert found.detail.startswith("model:m:1: pod p ")
    assert detail in found.detail
    assert step in found.next_step


@pytest.mark.parametrize(
    "status",
    [
        {"containerStatuses": container(ready=True, state={"running": {"startedAt": LONG_AGO}})},
        {"containerStatuses": container(state={"running": {"startedAt": JUST_NOW}})},
        {"containerStatuses": waiting("ContainerCreating"), "phase": "Pending"},
        {},
    ],
)
def test_a_pod_that_runs_or_starts_is_no_trouble(status: dict[str, Any]) -> None:
    assert problems(survey(pods=[pod(**status)])) == []


def test_a_pod_that_ends_is_no_trouble() -> None:
    ending = pod(conditions=unscheduled("no"))
    ending["metadata"]["deletionTimestamp"] = LONG_AGO
    assert problems(survey(pods=[ending])) == []


def test_the_same_trouble_of_several_pods_is_told_once() -> None:
    pods = [pod(name, conditions=unscheduled("none")) for name in "abc"]
    assert "pod a (and 2 more) waits for a node" in only(survey(pods=pods)).detail


def test_the_kubelets_own_message_explains_a_pull() -> None:
    broken = pod(containerStatuses=waiting("ImagePullBackOff", "Back-off"))
    said = 'Failed to pull image "img:1": manifest unknown'
    events = [
        event("Pod", "p", "Failed", said),
        event("Pod", "p", "Failed", "Error: ImagePullBackOff"),
        event("Pod", "other", "Failed", "Failed to pull image of another pod"),
    ]
    assert f"img:1: {said}" in only(survey(pods=[broken], events=events)).detail


def test_a_pull_secret_that_does_not_exist_is_named() -> None:
    spec = {"imagePullSecrets": [{"name": "regcred"}]}
    broken = pod(spec=spec, containerStatuses=waiting("ErrImagePull", "denied"))
    found = only(survey(pods=[broken], secrets=frozenset({"other"})))
    assert "pull secret regcred does not exist in namespace n" in found.detail
    assert "create secret docker-registry regcred" in found.next_step
    there = only(survey(pods=[broken], secrets=frozenset({"regcred"})))
    assert "does not exist" not in there.detail


@pytest.mark.parametrize(
    ("image", "message", "step"),
    [
        ("clipper/a:1", "not found", "clipper images build --registry REGISTRY --push"),
        ("reg.io/a:1", "unauthorized: authentication required", "--pull-secret NAME"),
        ("reg.io/a:1", "pull access denied, repository does not exist", "docker push"),
        ("reg.io/a:1", "dial tcp: lookup reg.io: no such host", "do not reach the registry"),
        ("reg.io/a:1", "x509: certificate signed by unknown authority", "certificates"),
        ("reg.io/a:1", "manifest unknown", "docker push reg.io/a:1"),
        ("localhost:5000/a", "manifest unknown", "docker push localhost:5000/a"),
        ("A b", "InvalidImageName", "registry/name:tag"),
    ],
)
def test_what_to_do_for_an_image(image: str, message: str, step: str) -> None:
    assert step in pull_step(image, message)


@pytest.mark.parametrize(
    ("reason", "what"), [("FailedMount", "the volume"), ("FailedCreatePodSandBox", "network")]
)
def test_a_pod_whose_node_cannot_begin_it(reason: str, what: str) -> None:
    stuck = pod(phase="Pending", containerStatuses=waiting("ContainerCreating"))
    found = only(survey(pods=[stuck], events=[event("Pod", "p", reason, "broken\n now.")]))
    assert "does not start: broken now" in found.detail
    assert what in found.next_step


def test_a_probe_that_fails_says_why() -> None:
    unready = pod(containerStatuses=container(state={"running": {"startedAt": LONG_AGO}}))
    events = [event("Pod", "p", "Unhealthy", "Readiness probe failed: 503")]
    found = only(survey(pods=[unready], events=events))
    assert found.detail.endswith("is not ready: Readiness probe failed: 503")


@pytest.mark.parametrize(
    ("message", "step"),
    [
        ("exceeded quota: q", "describe resourcequota"),
        ('violates PodSecurity "restricted"', "which pods it admits"),
        ('serviceaccount "clipper-at-c" not found', "clipper up"),
        ("something else", "get events"),
    ],
)
def test_pods_that_cannot_even_be_made(message: str, step: str) -> None:
    workload = {**named("m-1"), "spec": {"replicas": 2}, "status": {"replicas": 1}}
    events = [event("ReplicaSet", "m-1-5dcf", "FailedCreate", message)]
    found = only(survey(workloads=[workload], events=events))
    assert found.detail == f"m-1 has 1 of 2 pods, since no more can be made: {message}"
    assert step in found.next_step
    workload["status"]["replicas"] = 2
    assert problems(survey(workloads=[workload], events=events)) == []


def claim(phase: str = "Pending", storage_class: str | None = "fast") -> dict[str, Any]:
    spec = {} if storage_class is None else {"storageClassName": storage_class}
    return {**named("data-0"), "spec": spec, "status": {"phase": phase}}


def test_a_volume_that_is_not_made() -> None:
    events = [event("PersistentVolumeClaim", "data-0", "ProvisioningFailed", '"fast" not found')]
    found = only(survey(claims=[claim()], events=events))
    assert found.detail == (
        'volume claim data-0 of storage class fast is pending: "fast" not found'
    )
    assert "--storage-class" in found.next_step
    unsaid = only(survey(claims=[claim(storage_class=None)]))
    assert "of the default storage class is pending: nothing says why" in unsaid.detail


def test_a_volume_that_waits_for_its_pod_or_is_bound_is_well() -> None:
    event_ = event("PersistentVolumeClaim", "data-0", "WaitForFirstConsumer", "waiting")
    assert problems(survey(claims=[claim()], events=[event_])) == []
    assert problems(survey(claims=[claim("Bound")])) == []


def test_no_storage_class_matters_before_a_start_only() -> None:
    found = only(survey(anchor=None, storage_problem="Name one with --storage-class"))
    assert "no default storage class" in found.detail
    assert found.next_step == "Name one with --storage-class"
    assert problems(survey(storage_problem="Name one")) == []


def test_namespace() -> None:
    absent = survey(namespace_phase=NO_NAMESPACE, anchor=None, services=[])
    assert "--create-namespace" in only(absent).next_step
    assert "is being removed" in only(survey(namespace_phase="Terminating")).detail
    assert problems(survey(namespace_phase="")) == []  # this user may not look at namespaces


def test_rights_that_are_missing_are_named() -> None:
    denied = {
        ("", "pods/log"): ("get",),
        ("apps", "deployments"): ("create", "patch"),
        ("apps", "statefulsets"): ("create", "patch"),
    }
    found = only(survey(denied=denied))
    assert found.detail == (
        "this user may not, in namespace n: get pods/log; "
        "create, patch deployments.apps, statefulsets.apps"
    )
    assert "RoleBinding" in found.next_step


def test_nodes_have_to_be_seen_only_by_who_uses_their_ports() -> None:
    found = only(survey(nodes=None, needs_nodes=True))
    assert "may not list nodes" in found.detail
    assert "--proxy" in found.next_step
    assert problems(survey(nodes=None, needs_nodes=False)) == []
    inside = [service("query-frontend-at-c", "ClusterIP")]
    assert problems(survey(nodes=None, needs_nodes=True, services=inside)) == []


def node(**conditions: str) -> dict[str, Any]:
    told = [{"type": k, "status": v, "message": f"why {k}"} for k, v in conditions.items()]
    return {**named("n1"), "status": {"conditions": told}}


def test_nodes() -> None:
    assert only(survey(nodes=[node(Ready="False")])).detail == "n1 is not ready: why Ready"
    assert only(survey(nodes=[node(Ready="Unknown")])).next_step == "`kubectl describe node n1`"
    pressed = only(survey(nodes=[node(Ready="True", DiskPressure="True")]))
    assert pressed.detail == "n1 has DiskPressure: why DiskPressure"
    assert problems(survey(nodes=[node(Ready="True", DiskPressure="False")])) == []


def test_services_without_a_ready_pod() -> None:
    services = [service("query-frontend-at-c"), service("query-frontend-1-at-c")]
    found = only(survey(services=services, ready_services=frozenset()))
    assert found.detail.startswith("query-frontend-at-c has no ready pod behind it")
    ready = frozenset({"query-frontend-at-c"})
    assert problems(survey(services=services, ready_services=ready)) == []
    assert problems(survey(services=services, ready_services=None)) == []


def test_load_balancers_without_an_address() -> None:
    found = only(survey(services=[service("mgmt-frontend-at-c", "LoadBalancer")]))
    assert "has no address" in found.detail
    assert "--service-type management=NodePort" in found.next_step
    given = {"loadBalancer": {"ingress": [{"hostname": "h"}]}}
    balanced = [service("mgmt-frontend-at-c", "LoadBalancer", **given)]
    assert problems(survey(services=balanced)) == []


def test_services_that_are_gone() -> None:
    assert "clipper up" in only(survey(services=[])).next_step


def test_versions_that_differ() -> None:
    found = only(survey(client_version="0.6.0"))
    assert "was started with Clipper 0.5.0, this is Clipper 0.6.0" in found.detail
    assert problems(survey(anchor=named("clipper-at-c"))) == []


def test_dns_without_a_pod() -> None:
    assert "do not find each other" in only(survey(dns_ready=False)).detail
    assert problems(survey(dns_ready=None)) == []


def test_whoever_starts_a_cluster_may_grant_its_pods_their_rights() -> None:
    """Kubernetes lets nobody make a Role with rights beyond his own."""
    settings = KubernetesSettings(
        cluster_name="c", prometheus_image="p", autoscale_models=True
    )  # fmt: skip
    for one in access_objects(settings):
        for rule in one.get("rules", ()):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    assert set(rule["verbs"]) <= set(rights.RIGHTS[group, resource])
