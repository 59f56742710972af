"""The manager's flow on Kubernetes against an API server in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clipper.errors import ClipperException, ContainerStartError
from clipper.managers.kubernetes.api import Refused
from tests.fakes.fake_kubernetes import FakeKubernetes

from .clusters import UNPULLABLE, manager, of_cluster, options, started

HELM = "app.kubernetes.io/managed-by"


@pytest.fixture
def api() -> FakeKubernetes:
    return FakeKubernetes()


# --- start --------------------------------------------------------------------------------------


def test_a_second_start_changes_nothing(api: FakeKubernetes) -> None:
    started(api, token="t", redis_storage="1Gi")
    before = json.dumps(sorted(api.objects.items()))
    assert manager(api, token="t", redis_storage="1Gi").start_clipper(options()) is False
    assert json.dumps(sorted(api.objects.items())) == before


def test_the_anchor_owns_everything_but_the_volume_and_the_pods(api: FakeKubernetes) -> None:
    one = started(api)
    one.deploy_model("m", "1", "doubles", "m:1")
    anchor = api.get("v1", "ConfigMap", "clipper-at-c", "default")
    assert anchor is not None
    for kind, name in of_cluster(api) - {("ConfigMap", "clipper-at-c")}:
        found = api.objects[kind, "default", name]
        if kind not in ("Pod", "PersistentVolumeClaim"):
            owners = [owner["uid"] for owner in found["metadata"]["ownerReferences"]]
            assert owners == [anchor["metadata"]["uid"]], name


def test_a_further_start_adds_frontends_and_takes_them_away(api: FakeKubernetes) -> None:
    started(api)
    pods = api.uids("Pod")
    services = api.uids("Service")

    manager(api).start_clipper(options(frontends=3))
    assert pods < api.uids("Pod")
    assert {f"query-frontend-{index}-at-c" for index in range(3)} <= set(api.named("Service"))

    manager(api).start_clipper(options(frontends=1))
    assert api.uids("Pod") == pods
    assert api.uids("Service") == services


def test_a_lone_frontend_has_company_while_it_is_replaced(
    api: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(api)
    numbers = []
    apply, patch = api.apply, api.patch

    def noted(found: Any) -> Any:
        if found["kind"] == "StatefulSet" and found["metadata"]["name"] == "query-frontend-at-c":
            numbers.append(found["spec"]["replicas"])
        return found

    def applying(wanted: Any, *, dry_run: bool = False) -> Any:
        return apply(wanted, dry_run=True) if dry_run else noted(apply(wanted))

    monkeypatch.setattr(api, "apply", applying)
    monkeypatch.setattr(api, "patch", lambda *given: noted(patch(*given)))

    manager(api).start_clipper(options())
    assert numbers == [1], "nothing is replaced"
    manager(api).start_clipper(options(image="newer:1"))
    assert numbers == [1, 2, 1]
    manager(api).start_clipper(options(frontends=2, image="newest:1"))
    assert numbers == [1, 2, 1, 2]


def test_what_is_not_wanted_any_more_goes(api: FakeKubernetes) -> None:
    started(api, prometheus_image="p:1", max_frontend_replicas=3)
    assert api.named("HorizontalPodAutoscaler") == ["query-frontend-at-c"]
    manager(api, network_policies=False).start_clipper(options())
    assert api.named("HorizontalPodAutoscaler") == []
    assert api.named("NetworkPolicy") == []
    assert api.named("Deployment") == ["mgmt-frontend-at-c"]
    assert {one for one in api.named("ConfigMap") if "prometheus" in one} == set()


@pytest.mark.parametrize(
    "given",
    [
        {"token": "t"},
        {"redis_url": "redis://:secret@r:6379/0", "token": "t"},
        {"redis_port": 6380},
    ],
)
def test_who_gives_no_redis_and_no_token_leaves_them_as_they_are(
    api: FakeKubernetes, given: dict[str, Any]
) -> None:
    """Else the next model would come without the token that the frontends want."""
    started(api, **given)
    before = json.dumps(sorted(api.objects.items()))
    assert manager(api).start_clipper(options()) is False
    assert json.dumps(sorted(api.objects.items())) == before


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({}, {"redis_ip": "10.0.0.9"}, "another Redis"),
        ({"redis_ip": "10.0.0.9"}, {"redis_ip": "10.0.0.8"}, "another Redis"),
        ({"token": "one"}, {"token": "two"}, "another token"),
        ({}, {"token": "two"}, "another token"),
    ],
)
def test_the_store_and_the_token_of_what_runs_are_not_changed(
    api: FakeKubernetes, first: dict[str, Any], second: dict[str, Any], named: str
) -> None:
    started(api, **first)
    before = json.dumps(sorted(api.objects.items()))
    with pytest.raises(ClipperException, match=f"runs with {named}. Stop it first") as caught:
        manager(api, **second).start_clipper(options())
    assert "10.0.0" not in str(caught.value)
    assert json.dumps(sorted(api.objects.items())) == before
    manager(api).stop_all()
    started(api, **second)


def test_a_further_start_keeps_models_and_their_claims(api: FakeKubernetes) -> None:
    one = started(api)
    one.deploy_model("m", "1", "doubles", "m:1", 2)
    pods = api.uids("Pod")
    with one.claim("m", "1"):
        manager(api).start_clipper(options())
        assert "claim-m-1-deployment-at-c" in api.named("ConfigMap")
    assert api.uids("Pod") == pods
    assert "m-1-deployment-at-c" in api.named("PodDisruptionBudget")


def test_types_of_services_stay_as_they_are_unless_others_are_given(api: FakeKubernetes) -> None:
    def kind() -> str:
        service = api.get("v1", "Service", "query-frontend-at-c", "default")
        assert service is not None
        return str(service["spec"]["type"])

    started(api, service_types={"query": "ClusterIP"}, kubernetes_proxy_addr="p:1")
    assert kind() == "ClusterIP"
    manager(api, kubernetes_proxy_addr="p:1").start_clipper(options())
    assert kind() == "ClusterIP"
    manager(api, service_types={"query": "NodePort"}).start_clipper(options())
    assert kind() == "NodePort"


# --- a start that fails -------------------------------------------------------------------------


def test_a_start_that_fails_leaves_nothing_of_a_new_cluster(api: FakeKubernetes) -> None:
    api.statuses["absent:1"] = UNPULLABLE
    api.events["query-frontend-at-c-0"] = [{"type": "Warning", "message": "no such host"}]
    before = set(api.objects)
    one = manager(api, redis_storage=None)
    with pytest.raises(ContainerStartError, match=r"While the cluster started.*no such host"):
        one.start_clipper(options(image="absent:1"))
    assert set(api.objects) == before


def test_a_start_that_fails_does_not_stop_what_ran(api: FakeKubernetes) -> None:
    one = started(api)
    one.deploy_model("m", "1", "doubles", "m:1")
    before = of_cluster(api)
    api.statuses["absent:1"] = UNPULLABLE
    with pytest.raises(ContainerStartError):
        manager(api).start_clipper(options(image="absent:1"))
    assert of_cluster(api) == before
    assert api.named("Deployment") == ["m-1-deployment-at-c", "mgmt-frontend-at-c"]


def test_a_right_that_is_missing_in_the_middle_leaves_nothing(api: FakeKubernetes) -> None:
    api.refused["apply", "StatefulSet"] = Refused("statefulsets is forbidden", 403)
    before = set(api.objects)
    with pytest.raises(ClipperException, match="statefulsets is forbidden"):
        manager(api).start_clipper(options())
    assert set(api.objects) == before


def test_who_may_make_no_roles_can_do_without(api: FakeKubernetes) -> None:
    refusal = Refused("roles is forbidden", 403)
    api.refused |= {(verb, "Role"): refusal for verb in ("get", "list", "apply", "delete")}
    one = started(api, autoscale_models=False, redis_storage=None)
    one.deploy_model("m", "1", "doubles", "m:1")
    manager(api, autoscale_models=False, redis_storage=None).start_clipper(options())
    one.stop_all()
    one.delete_state()
    assert of_cluster(api) == set()


def test_no_rights_on_what_is_only_useful_do_not_stop_a_start(api: FakeKubernetes) -> None:
    """A user of a namespace has none on a Prometheus operator's kinds, whether or not it runs."""
    refusal = Refused("podmonitors is forbidden", 403)
    api.refused |= {("list", "PodMonitor"): refusal, ("apply", "PodMonitor"): refusal}
    started(api).stop_all()
    api.versions.add("monitoring.coreos.com/v1")
    api.forbidden.add("podmonitors")
    started(api).stop_all()
    assert of_cluster(api) == {("PersistentVolumeClaim", "data-redis-at-c-0")}


# --- what is not ours ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "version", "name"),
    [
        ("Service", "v1", "query-frontend-at-c"),
        ("ConfigMap", "v1", "clipper-at-c"),
        ("StatefulSet", "apps/v1", "redis-at-c"),
    ],
)
def test_an_object_of_somebody_else_is_left_alone(
    api: FakeKubernetes, kind: str, version: str, name: str
) -> None:
    spec = {"type": "ClusterIP"} if kind == "Service" else {"template": {"spec": {}}, "replicas": 0}
    metadata = {"name": name, "namespace": "default"}
    api.create({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
    before = json.dumps(sorted(api.objects.items()))
    with pytest.raises(ClipperException, match=rf"{kind} {name} in namespace default exists and"):
        manager(api).start_clipper(options())
    assert json.dumps(sorted(api.objects.items())) == before


def test_a_cluster_of_helms_is_left_to_helm(api: FakeKubernetes) -> None:
    started(api)
    api.objects["ConfigMap", "default", "clipper-at-c"]["metadata"]["labels"][HELM] = "Helm"
    before = of_cluster(api)
    with pytest.raises(ClipperException, match="helm upgrade"):
        manager(api).start_clipper(options(frontends=2))
    with pytest.raises(ClipperException, match="helm uninstall"):
        manager(api).stop_all()
    assert of_cluster(api) == before


def test_stopping_one_cluster_leaves_the_others(api: FakeKubernetes) -> None:
    one, other = started(api, "c"), started(api, "c-2")
    for cluster in (one, other):
        cluster.deploy_model("m", "1", "doubles", "m:1")
    before = of_cluster(api, "c-2")
    one.stop_all()
    one.delete_state()
    assert of_cluster(api, "c-2") == before
    assert of_cluster(api, "c") == set()


# --- stop and start again -----------------------------------------------------------------------


@pytest.mark.parametrize("graceful", [True, False])
def test_frontends_end_before_the_models_and_the_store_that_they_need(
    api: FakeKubernetes, graceful: bool
) -> None:
    one = started(api, prometheus_image="p:1")
    one.deploy_model("m", "1", "doubles", "m:1")
    one.stop_all(graceful=graceful)
    deleted = [(kind, name) for verb, (kind, _, name) in api.changes if verb == "delete"]
    needed = [
        ("StatefulSet", "redis-at-c"), ("Service", "redis-at-c"), ("NetworkPolicy", "redis-at-c"),
        ("Deployment", "m-1-deployment-at-c"),
    ]  # fmt: skip
    frontends = [("Pod", "query-frontend-at-c-0"), ("Pod", "mgmt-frontend-at-c-0")]
    last, first = max(map(deleted.index, frontends)), min(map(deleted.index, needed))
    assert last < first or not graceful


def test_models_are_back_after_a_stop(api: FakeKubernetes) -> None:
    one = started(api)
    one.deploy_model("m", "1", "doubles", "m:1", 2)
    one.deploy_model("Big.Model", "1-b", "strings", "big:1", 0)
    deployments = api.named("Deployment")
    one.stop_all()
    assert of_cluster(api) == {
        ("ConfigMap", "clipper-models-at-c"),
        ("PersistentVolumeClaim", "data-redis-at-c-0"),
    }
    one.stop_all()  # nothing is running: nothing is forgotten

    again = started(api)
    assert api.named("Deployment") == deployments
    assert again.get_num_replicas("m", "1") == 2
    assert again.get_num_replicas("Big.Model", "1-b") == 0
    assert "clipper-models-at-c" not in api.named("ConfigMap")


def test_a_start_that_fails_does_not_forget_the_models(api: FakeKubernetes) -> None:
    one = started(api)
    one.deploy_model("m", "1", "doubles", "m:1", 2)
    one.stop_all()
    api.statuses["absent:1"] = UNPULLABLE
    with pytest.raises(ContainerStartError):
        manager(api).start_clipper(options(image="absent:1"))
    assert started(api).get_num_replicas("m", "1") == 2


def test_a_model_that_cannot_be_brought_back_is_warned_of(
    api: FakeKubernetes, caplog: pytest.LogCaptureFixture
) -> None:
    one = started(api, redis_url="redis://r:6379/0")
    one.deploy_model("m", "1", "doubles", "m:1", 2)
    one.deploy_model("n", "1", "doubles", "n:1", 2)
    one.stop_all()
    taken = {"name": "m-1-deployment-at-c", "namespace": "default"}
    spec = {"replicas": 0, "template": {"spec": {}}}
    api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": taken, "spec": spec})

    again = started(api, redis_url="redis://r:6379/0")
    assert "model m:1 of an earlier run is not started" in caplog.text
    assert again.get_num_replicas("n", "1") == 2


def test_state_is_deleted_only_of_a_cluster_that_is_stopped(api: FakeKubernetes) -> None:
    one = started(api)
    with pytest.raises(ClipperException, match="stop it first"):
        one.delete_state()
    one.deploy_model("m", "1", "doubles", "m:1")
    one.stop_all()
    one.delete_state()
    assert of_cluster(api) == set()
    one.delete_state()


def test_a_stopped_cluster_is_none(api: FakeKubernetes) -> None:
    one = started(api)
    assert one.status()["state"] == "running"
    one.stop_all()
    status = one.status()
    assert (status["state"], status["children"], status["services"]) == ("stopped", [], {})
    with pytest.raises(ClipperException, match="Could not connect to Clipper Kubernetes cluster"):
        manager(api).connect()
    with pytest.raises(ClipperException, match="No Clipper query frontend to attach"):
        one.deploy_model("m", "1", "doubles", "m:1")


# --- namespaces and volumes ---------------------------------------------------------------------


def test_a_namespace_is_made_only_if_it_may_be(api: FakeKubernetes) -> None:
    with pytest.raises(ClipperException, match=r"Namespace prod does not exist.*create namespace"):
        manager(api, namespace="prod").start_clipper(options())
    assert ("Namespace", "", "prod") not in api.objects
    allowed = manager(api, namespace="prod", create_namespace_if_not_exists=True)
    assert allowed.start_clipper(options())
    allowed.stop_all()
    assert ("Namespace", "", "prod") in api.objects, "it may hold more than Clipper"


def test_a_namespace_that_cannot_be_made_or_is_going(api: FakeKubernetes) -> None:
    api.refused["create", "Namespace"] = Refused("namespaces is forbidden", 403)
    one = manager(api, namespace="prod", create_namespace_if_not_exists=True)
    with pytest.raises(ClipperException, match=r"could not be made\. Reason: .*is forbidden"):
        one.start_clipper(options())
    api.objects["Namespace", "", "default"]["status"]["phase"] = "Terminating"
    with pytest.raises(ClipperException, match="is being removed"):
        manager(api).start_clipper(options())


def test_who_may_not_look_at_namespaces_may_still_use_one(api: FakeKubernetes) -> None:
    api.refused["get", "Namespace"] = Refused("namespaces is forbidden", 403)
    assert manager(api).start_clipper(options())


def test_without_a_class_of_volumes_the_ways_out_are_named(api: FakeKubernetes) -> None:
    del api.objects["StorageClass", "", "usual"]
    before = set(api.objects)
    with pytest.raises(ClipperException, match="no default storage class"):
        manager(api).start_clipper(options())
    assert set(api.objects) == before
    for way in ({"redis_storage": None}, {"redis_storage_class": "slow"}, {"redis_ip": "10.0.0.9"}):
        one = manager(api, **way)
        assert one.start_clipper(options())
        one.stop_all()
        one.delete_state()
