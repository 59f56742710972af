"""Order, waiting and undoing of deployments, under a virtual clock."""

from __future__ import annotations

import logging

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.errors import ClipperException, ContainerStartError
from tests.fakes.fake_management import FakeCluster, FakeManager

WRITES = ("add_model", "set_model_version", "delete_versioned_model")


def changes(cluster: FakeCluster) -> list[str]:
    """Everything that changed something, in order."""
    return [event for event in cluster.events if event in WRITES or " " in event]


def test_containers_connect_before_the_version_is_registered(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    connection.deploy_model("m", 1, "doubles", "img", num_replicas=2)
    assert changes(cluster) == ["start m:1 x2", "add_model"]
    polls = cluster.events[: cluster.events.index("add_model")]
    assert polls.count("get_all_containers") > 2
    assert all(
        one["worker_states"] == {"w1": "ready", "w2": "ready"}
        for one in cluster.container_objects()
    )


def test_request_carries_every_setting(connection: ClipperConnection, cluster: FakeCluster) -> None:
    connection.deploy_model(
        "m",
        "1",
        "d",
        "img",
        labels=["a"],
        batch_size=7,
        batch_policy="fixed",
        batch_wait_ms=2.5,
        cache=False,
        probe_input=[1.0],
    )
    stored = cluster.models["m", "1"]
    stored.pop("generation")
    assert stored == {
        "model_name": "m",
        "model_version": "1",
        "labels": ["a"],
        "input_type": "doubles",
        "container_name": "img",
        "model_data_path": "DEPRECATED",
        "batch_size": 7,
        "batch_policy": "fixed",
        "batch_wait_ms": 2.5,
        "cache": False,
        "probe_input": [1.0],
    }


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"name": "M"}, "Invalid value: M: a model name must be a valid DNS-1123  subdomain."),
        ({"version": "1_0"}, "Invalid value: 1_0: a model version must be a valid DNS-1123"),
        ({"name": "m\n"}, "a model name must be"),
        ({"input_type": "matrix"}, "matrix is not a valid input string"),
        ({"num_replicas": -1}, "Invalid number of replicas: -1"),
        ({"num_replicas": True}, "Invalid number of replicas"),
        ({"batch_size": 0}, "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1"),
        ({"batch_wait_ms": float("nan")}, "Invalid batch_wait_ms"),
        ({"labels": ["a:b"]}, "Invalid label supplied: a:b"),
        ({"probe_input": object()}, "Invalid probe_input"),
        ({"timeout_s": 0}, "Invalid timeout_s"),
    ],
)
def test_nothing_is_started_for_an_invalid_argument(
    connection: ClipperConnection, cluster: FakeCluster, changed: dict[str, object], text: str
) -> None:
    arguments = {"name": "m", "version": "1", "input_type": "doubles", "image": "img", **changed}
    with pytest.raises(ClipperException) as caught:
        connection.deploy_model(**arguments)  # type: ignore[arg-type]
    assert text in caught.value.msg
    assert changes(cluster) == []


def test_registered_version_is_refused_before_building(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    connection.register_model("m", "1", "doubles")
    cluster.events.clear()
    with pytest.raises(ClipperException, match="version '1' already exists"):
        connection.build_and_deploy_model("m", "1", "doubles", "/nowhere", "base")
    assert changes(cluster) == []
    assert "build" not in cluster.events


def test_zero_replicas_only_registers(connection: ClipperConnection, cluster: FakeCluster) -> None:
    connection.deploy_model("m", "1", "doubles", "img", num_replicas=0)
    assert changes(cluster) == ["add_model"]


def test_dying_container_is_reported_with_its_log_and_leaves_nothing(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    cluster.connect_after_s = 1e9
    cluster.failure = "exited with status 1\nKeyError: 'x'"
    with pytest.raises(ContainerStartError, match="KeyError: 'x'"):
        connection.deploy_model("m", "1", "doubles", "img")
    assert cluster.containers == []
    assert cluster.models == {}


def test_failing_start_leaves_nothing(
    connection: ClipperConnection, manager: FakeManager, cluster: FakeCluster
) -> None:
    manager.start_error = ContainerStartError("no such image")
    with pytest.raises(ContainerStartError, match="no such image"):
        connection.deploy_model("m", "1", "doubles", "img")
    assert changes(cluster)[-1] == "stop {'m': ['1']}"


def test_container_that_never_connects_ends_in_time(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    cluster.connect_after_s = 1e9
    with pytest.raises(ClipperException, match="0 of 1 containers connected after 30 s"):
        connection.deploy_model("m", "1", "doubles", "img", timeout_s=30)
    assert cluster.now_s == pytest.approx(30, abs=0.2)
    assert cluster.containers == []


def test_late_container_is_reported_with_its_log(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    cluster.connect_after_s = 1e9
    cluster.log = "downloading weights: 3 %"
    with pytest.raises(ClipperException, match="downloading weights: 3 %") as caught:
        connection.deploy_model("m", "1", "doubles", "img", timeout_s=30)
    assert "larger timeout_s" in caught.value.msg


def test_failed_probe_ends_the_deployment_at_once(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    cluster.probe_fails = True
    cluster.log = "KeyError: 'x'"
    with pytest.raises(ContainerStartError, match=r"failed on its probe input.*\n.*KeyError: 'x'"):
        connection.deploy_model("m", "1", "doubles", "img", probe_input=[1.0])
    assert cluster.now_s < 5
    assert (cluster.containers, cluster.models) == ([], {})


def test_second_client_of_the_same_version_touches_nothing(
    connection: ClipperConnection, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = cluster._add_model
    refusals: list[str] = []

    def deploy_meanwhile(body: dict[str, object]) -> str:
        with pytest.raises(ClipperException) as caught:
            connection.build_and_deploy_model("m", "1", "doubles", "/nowhere", "base")
        refusals.append(caught.value.msg)
        return write(body)

    monkeypatch.setattr(cluster, "_add_model", deploy_meanwhile)
    connection.deploy_model("m", "1", "doubles", "img")
    assert refusals == ["Another client is deploying m:1"]
    assert changes(cluster) == ["start m:1 x1", "add_model"]
    assert "build" not in cluster.events
    assert len(cluster.containers) == 1
    assert cluster.claims == set()


def test_version_that_is_not_ready_on_one_worker_is_undone(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    connection.deploy_model("m", "1", "doubles", "img")
    cluster.slow_workers = {"w2"}
    cluster.events.clear()
    with pytest.raises(ClipperException, match="0 of 1 containers ready on every frontend worker"):
        connection.deploy_model("m", "2", "doubles", "img", timeout_s=5)
    assert changes(cluster) == [
        "start m:2 x1",
        "add_model",
        "set_model_version",
        "delete_versioned_model",
        "stop {'m': ['2']}",
    ]
    assert cluster.current == {"m": "1"}
    assert [(c.name, c.version) for c in cluster.containers] == [("m", "1")]


def test_refused_registration_stops_the_containers(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    cluster.refusals["add_model"] = "Model is already linked using another input type"
    with pytest.raises(ClipperException, match="Received error status code: 400 and message: Mod"):
        connection.deploy_model("m", "1", "doubles", "img")
    assert cluster.containers == []
    assert "delete_versioned_model" not in cluster.events


def test_registration_that_a_worker_did_not_apply_is_undone(
    connection: ClipperConnection, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = cluster._add_model

    def write_and_complain(body: dict[str, object]) -> str:
        write(body)
        cluster.refusals["add_model"] = "stored, but worker w2 has not applied it"
        return str(cluster.manage("add_model", {}))

    monkeypatch.setattr(cluster, "_add_model", write_and_complain)
    with pytest.raises(ClipperException, match="has not applied it"):
        connection.deploy_model("m", "1", "doubles", "img")
    assert cluster.models == {}
    assert cluster.containers == []


def test_interruption_is_cleaned_up_and_clean_up_failures_do_not_hide_it(
    connection: ClipperConnection,
    cluster: FakeCluster,
    manager: FakeManager,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def interrupt(name: str, version: str) -> str | None:
        raise KeyboardInterrupt

    def fail(models: object) -> None:
        raise ClipperException("supervisor is gone")

    monkeypatch.setattr(manager, "container_failure", interrupt)
    monkeypatch.setattr(manager, "stop_models", fail)
    with pytest.raises(KeyboardInterrupt):
        connection.deploy_model("m", "1", "doubles", "img")
    assert "stopping its containers failed: supervisor is gone" in caplog.text


def test_containers_from_before_survive_a_failed_deployment(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    cluster.start("m", "1", 1)
    cluster.refusals["add_model"] = "no"
    with pytest.raises(ClipperException):
        connection.deploy_model("m", "1", "doubles", "img", num_replicas=1)
    assert len(cluster.containers) == 1


def test_scaling_waits_up_and_down(connection: ClipperConnection, cluster: FakeCluster) -> None:
    connection.deploy_model("m", "1", "doubles", "img")
    connection.set_num_replicas("m", 4)
    assert sum(one["state"] == "ready" for one in cluster.container_objects()) == 4
    connection.set_num_replicas("m", 2, 1)
    assert connection.get_num_replicas("m") == 2
    connection.set_num_replicas("m", 0)
    assert cluster.container_objects() == []


def test_second_client_that_scales_the_same_version_is_refused(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    connection.deploy_model("m", "1", "doubles", "img")
    with (
        connection.cm.claim("m", "1"),
        pytest.raises(ClipperException, match="Another client is deploying m:1"),
    ):
        connection.set_num_replicas("m", 3)
    assert connection.get_num_replicas("m") == 1
    connection.set_num_replicas("m", 2)
    assert cluster.claims == set()


def test_failed_growth_restores_the_old_number(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    connection.deploy_model("m", "1", "doubles", "img")
    cluster.slow_workers = {"w1", "w2"}
    cluster.failure = "out of memory"
    with pytest.raises(ContainerStartError, match="out of memory"):
        connection.set_num_replicas("m", 3)
    assert len(cluster.containers) == 1


def test_scaling_refuses_unregistered_and_containerless_models(
    connection: ClipperConnection,
) -> None:
    with pytest.raises(ClipperException, match=r"for non-registered model m:1$"):
        connection.set_num_replicas("m", 2, "1")
    connection.register_model("m", "1", "doubles")
    with pytest.raises(ClipperException, match=r"for containerless model m:1$"):
        connection.set_num_replicas("m", 5)
    with pytest.raises(ClipperException, match="No versions of model x registered with Clipper"):
        connection.set_num_replicas("x", 5)


def test_switching_to_an_unready_version_warns(
    connection: ClipperConnection, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    connection.register_model("m", "1", "doubles")
    connection.deploy_model("m", "2", "doubles", "img")
    with caplog.at_level(logging.WARNING):
        connection.set_model_version("m", 2)
        assert caplog.text == ""
        connection.set_model_version("m", 1)
    assert "Version 1 of model m is current but has no ready replica" in caplog.text
    connection.set_model_version("m", "2", num_replicas=3)
    assert connection.get_num_replicas("m", 2) == 3


def test_stopping(connection: ClipperConnection, cluster: FakeCluster) -> None:
    for name in ("jimmypage", "page"):
        for version in ("i", "ii"):
            connection.deploy_model(name, version, "doubles", "img")
    connection.stop_models("jimmypage")  # "page" is part of that name
    assert set(cluster.models) == {("page", "i"), ("page", "ii")}
    connection.stop_inactive_model_versions(["page", "unknown"])
    assert set(cluster.models) == {("page", "ii")}
    with pytest.raises(ClipperException, match="does not exist"):
        connection.stop_versioned_models({"page": ["i", "ii"]})
    assert cluster.models == {}
    assert cluster.containers == []
    connection.stop_models(["unknown"])
    connection.deploy_model("m", "1", "doubles", "img")
    connection.stop_all_model_containers()
    assert connection.get_all_models() == []
    assert connection.get_all_model_replicas() == []


def test_stopping_waits_until_no_frontend_lists_the_containers(
    connection: ClipperConnection, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.deploy_model("m", "1", "doubles", "img")
    ghosts = cluster.container_objects()
    gone_at_s = cluster.now_s + 3
    monkeypatch.setattr(
        cluster, "container_objects", lambda: ghosts if cluster.now_s < gone_at_s else []
    )
    connection.stop_versioned_models({"m": "1"})
    assert cluster.now_s >= gone_at_s
