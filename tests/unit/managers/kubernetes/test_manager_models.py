"""Models, and clients beside each other, on Kubernetes against an API server in memory."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from clipper.errors import ClipperException, ContainerStartError
from clipper.managers.kubernetes.api import Refused
from tests.fakes.fake_kubernetes import FakeKubernetes

from .clusters import UNPULLABLE, manager, options, started
from .examples import PASSWORD


@pytest.fixture
def api() -> FakeKubernetes:
    return FakeKubernetes()


# --- models -------------------------------------------------------------------------------------


def test_the_number_of_replicas(api: FakeKubernetes) -> None:
    one = started(api)
    assert one.get_num_replicas("m", "1") == 0
    one.set_num_replicas("m", "1", "doubles", "m:1", 0)
    assert api.named("Deployment") == ["mgmt-frontend-at-c"]
    for count in (2, 3, 0, 1):
        one.set_num_replicas("m", "1", "doubles", "m:1", count)
        assert one.get_num_replicas("m", "1") == count
        assert len([pod for pod in api.named("Pod") if pod.startswith("m-1-")]) == count
    with pytest.raises(ClipperException, match="cannot have -1 replicas"):
        one.set_num_replicas("m", "1", "doubles", "m:1", -1)


def test_models_are_stopped_with_their_budgets(api: FakeKubernetes) -> None:
    one = started(api)
    for name, version in itertools.product(("a", "b"), ("1", "2")):
        one.deploy_model(name, version, "doubles", "m:1")
    one.stop_models({"a": ["1", "9"], "c": ["1"]})
    left = ["a-2-deployment-at-c", "b-1-deployment-at-c", "b-2-deployment-at-c"]
    assert api.named("Deployment") == [*left, "mgmt-frontend-at-c"]
    assert api.named("PodDisruptionBudget") == [*left, "query-frontend-at-c"]
    one.stop_all_model_containers()
    assert api.named("Deployment") == ["mgmt-frontend-at-c"]


def test_a_deployment_that_is_refused_is_told_with_the_model(api: FakeKubernetes) -> None:
    one = started(api)
    api.refused["apply", "Deployment"] = Refused("exceeded quota", 403)
    text = r"Could not create a Kubernetes deployment\. Model: m:1\. exceeded quota"
    with pytest.raises(ContainerStartError, match=text):
        one.deploy_model("m", "1", "doubles", "m:1")


def test_why_a_model_does_not_run(api: FakeKubernetes) -> None:
    one = started(api)
    api.statuses["absent:1"] = UNPULLABLE
    one.deploy_model("m", "1", "doubles", "m:1")
    one.deploy_model("m", "2", "doubles", "absent:1")
    assert one.container_failure("m", "1") is None
    assert one.container_failure("m", "3") is None
    failure = one.container_failure("m", "2")
    assert failure is not None
    assert "its image cannot be pulled (absent:1)" in failure
    assert one.last_log_lines("m", "3") == "It has no pod."


def test_logs_of_this_cluster_alone(api: FakeKubernetes, tmp_path: Path) -> None:
    one = started(api, prometheus_image="p:1")
    started(api, "other")
    api.logs["redis-at-c-0"] = b"ready\n"
    paths = {Path(path).name: path for path in one.get_logs(str(tmp_path / "logs"))}
    assert set(paths) == {
        "redis-at-c-0_0.log", "mgmt-frontend-at-c-0_0.log", "query-frontend-at-c-0_0.log",
        "metrics-at-c-0_0.log", "metrics-at-c-0_1.log",
    }  # fmt: skip
    assert Path(paths["redis-at-c-0_0.log"]).read_bytes() == b"ready\n"


# --- other clients ------------------------------------------------------------------------------


def test_another_client_deploys_as_the_cluster_was_started(api: FakeKubernetes) -> None:
    resources = {"limits": {"memory": "9Gi"}}
    started(api, model_resources=resources, model_probes=False, image_pull_secrets=["registry"])
    other = manager(api)
    other.connect()
    other.deploy_model("m", "1", "doubles", "m:1")
    pod = api.objects["Deployment", "default", "m-1-deployment-at-c"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["resources"] == resources
    assert "livenessProbe" not in container
    assert pod["imagePullSecrets"] == [{"name": "registry"}]


def test_the_password_stays_and_is_in_the_secret_alone(
    api: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = iter([PASSWORD, "another"])
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: next(made))
    started(api)
    secret = api.objects["Secret", "default", "clipper-secrets-at-c"]["data"]
    before = dict(secret)
    manager(api).start_clipper(options(frontends=2))
    assert api.objects["Secret", "default", "clipper-secrets-at-c"]["data"] == before
    assert PASSWORD not in api.text_of(lambda kind: kind != "Secret")


def test_status_tells_prometheus_from_who_finds_its_targets(api: FakeKubernetes) -> None:
    """Kubernetes sorts the containers of a pod's status by name."""
    one = started(api, prometheus_image="p:1")
    running = {"running": {"startedAt": "2024-01-01T00:00:00Z"}}
    api.objects["Pod", "default", "metrics-at-c-0"]["status"]["containerStatuses"] = [
        {"name": "discovery", "ready": True, "restartCount": 0, "state": running},
        {
            "name": "prometheus",
            "ready": False,
            "restartCount": 4,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        },
    ]
    [row] = [row for row in one.status()["children"] if row["role"] == "prometheus"]
    assert (row["state"], row["restarts"], row["pid"]) == ("CrashLoopBackOff", 4, None)
