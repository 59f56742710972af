"""Cluster, application and look-up methods of the client."""

from __future__ import annotations

import inspect
import logging
import pathlib

import pytest
import requests

from clipper.admin.connection import ClipperConnection
from clipper.errors import ClipperException, ContainerStartError, UnconnectedException
from tests.fakes.fake_management import FakeCluster, FakeHttp, FakeManager

CALLS = {
    "get_query_addr": (),
    "get_metric_addr": (),
    "get_clipper_logs": (),
    "inspect_instance": (),
    "register_application": ("a", "doubles", "-1.0", 1000),
    "update_application": ("a",),
    "unregister_application": ("a",),
    "delete_application": ("a",),
    "link_model_to_app": ("a", "m"),
    "unlink_model_from_app": ("a", "m"),
    "get_all_apps": (),
    "get_app_info": ("a",),
    "get_linked_models": ("a",),
    "get_policies": (),
    "get_policy": ("a",),
    "get_feedback_log": ("a",),
    "build_and_deploy_model": ("m", "1", "doubles", "/data", "base"),
    "deploy_model": ("m", "1", "doubles", "img"),
    "register_model": ("m", "1", "doubles"),
    "get_current_model_version": ("m",),
    "set_model_version": ("m", "1"),
    "get_num_replicas": ("m", "1"),
    "set_num_replicas": ("m", 1, "1"),
    "get_all_models": (),
    "get_model_info": ("m", "1"),
    "get_all_model_replicas": (),
    "get_model_replica_info": ("m", "1", 0),
    "stop_models": (["m"],),
    "stop_versioned_models": ({"m": ["1"]},),
    "stop_inactive_model_versions": (["m"],),
    "stop_all_model_containers": (),
    "get_workers": (),
    "get_autoscaling": (),
    "set_autoscaling": ("m", 1, 2),
    "stop_autoscaling": ("m",),
    "_unregister_versioned_models": ({"m": ["1"]},),
}
NEED_NO_CONNECTION = {
    "start_clipper",
    "connect",
    "stop_all",
    "build_model",
    "test_predict_function",
}


@pytest.mark.parametrize("method", CALLS)
def test_methods_need_a_connection(unconnected: ClipperConnection, method: str) -> None:
    with pytest.raises(UnconnectedException):
        getattr(unconnected, method)(*CALLS[method])


def test_public_methods_are_those_of_the_interface() -> None:
    public = {
        name
        for name, _ in inspect.getmembers(ClipperConnection, inspect.isfunction)
        if not name.startswith("_")
    }
    assert public == {name for name in CALLS if not name.startswith("_")} | NEED_NO_CONNECTION


def test_start_passes_options_and_waits_for_both_frontends(
    unconnected: ClipperConnection,
    manager: FakeManager,
    frontends: FakeHttp,
    cluster: FakeCluster,
    caplog: pytest.LogCaptureFixture,
) -> None:
    frontends.unreachable_times = 4
    with caplog.at_level(logging.INFO):
        unconnected.start_clipper(
            cache_size=10, qf_http_thread_pool_size=3, qf_http_timeout_request=6
        )
    assert unconnected.connected
    assert cluster.now_s == 4.0
    assert "[fake] Clipper is running" in caplog.text
    options = manager.options
    assert options is not None
    assert options.cache_size_bytes == 10
    assert options.qf_http_thread_pool_size == 3
    assert options.qf_http_timeout_request_s == 6
    assert options.query_frontend_image == "clipper/query_frontend:0.5.0"


def test_start_gives_up_after_three_hundred_tries(
    unconnected: ClipperConnection, frontends: FakeHttp, cluster: FakeCluster
) -> None:
    frontends.unreachable_times = 1000
    with pytest.raises(requests.ConnectionError):
        unconnected.start_clipper()
    assert cluster.now_s == 299.0
    assert not unconnected.connected


def test_start_logs_and_passes_on_the_managers_error(
    unconnected: ClipperConnection, manager: FakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.start_error = ContainerStartError("port 1337 is taken")
    with pytest.raises(ContainerStartError):
        unconnected.start_clipper()
    assert "port 1337 is taken" in caplog.text


def test_stop_all_works_unconnected_and_disconnects(
    unconnected: ClipperConnection, cluster: FakeCluster
) -> None:
    unconnected.stop_all(graceful=False)
    assert cluster.events == ["stop all graceful=False"]
    cluster.running = True
    unconnected.connect()
    unconnected.stop_all()
    with pytest.raises(UnconnectedException):
        unconnected.get_query_addr()


def test_connecting_to_nothing_fails(unconnected: ClipperConnection, cluster: FakeCluster) -> None:
    cluster.running = False
    with pytest.raises(ClipperException, match="clipper up"):
        unconnected.connect()
    assert not unconnected.connected


def test_logs_are_absolute_existing_paths(
    connection: ClipperConnection, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [pathlib.Path(path) for path in connection.get_clipper_logs("some/logs")]
    assert paths
    assert all(path.is_absolute() and path.exists() for path in paths)


def test_metrics_are_asked_for_as_json(connection: ClipperConnection) -> None:
    assert connection.inspect_instance() == {"counters": []}


def test_life_of_an_application(
    connection: ClipperConnection, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    connection.register_application("a", "ints", "-1.0", 1000, on_default="error")
    assert cluster.apps["a"]["input_type"] == "integers"
    assert cluster.apps["a"]["on_default"] == "error"
    assert "policy" not in cluster.apps["a"]
    with pytest.raises(ClipperException, match="No model with name"):
        connection.link_model_to_app("a", "m")
    connection.register_model("m", 1, "integers")
    connection.link_model_to_app("a", "m")
    assert connection.get_linked_models("a") == ["m"]
    connection.unlink_model_from_app("a", "m")
    assert connection.get_linked_models("a") == []
    assert connection.get_all_apps() == ["a"]
    connection.delete_application("a")
    assert "Deprecated" in caplog.text
    assert connection.get_app_info("a") is None
    assert "Application a is not registered" in caplog.text


def test_an_update_sends_what_is_to_change_and_nothing_else(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    connection.register_application("a", "ints", "-1.0", 1000)
    before = dict(cluster.apps["a"])
    connection.update_application(
        "a", slo_micros=5, min_confidence=0.0, isolate_cache=False, policy_options={"eta": None}
    )
    changes = {
        "latency_slo_micros": 5,
        "min_confidence": 0.0,
        "isolate_cache": False,
        "policy_options": {"eta": None},
    }
    assert cluster.apps["a"] == {**before, **changes}


def test_bad_application_arguments_reach_no_server(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    with pytest.raises(ClipperException, match="not a valid input string"):
        connection.register_application("a", "matrix", "-1.0", 1000)
    with pytest.raises(ClipperException, match="Invalid on_default: maybe"):
        connection.register_application("a", "doubles", "-1.0", 1000, on_default="maybe")
    with pytest.raises(ClipperException, match="Invalid on_default: maybe"):
        connection.update_application("a", on_default="maybe")
    assert cluster.events == []


def test_refusals_are_logged_and_raised(
    connection: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    text = "Received error status code: 400 and message: Application 'a' does not exist"
    with pytest.raises(ClipperException) as caught:
        connection.unregister_application("a")
    assert caught.value.msg == text
    assert text in caplog.text


def test_unreachable_frontend_raises_the_requests_exception(
    connection: ClipperConnection, frontends: FakeHttp
) -> None:
    frontends.unreachable_times = 1
    with pytest.raises(requests.ConnectionError):
        connection.get_all_apps()


def test_models_are_found_by_name_and_version(
    connection: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.register_model("m", 1, "doubles", labels=["x"])
    connection.register_model("m", 2, "doubles")
    assert connection.get_current_model_version("m") == "2"
    connection.set_model_version("m", 1)
    info = connection.get_model_info("m", 1)
    assert info is not None
    assert info["is_current_version"]
    assert info["container_name"] == "NO_CONTAINER"
    assert connection.get_model_info("m", 3) is None
    assert connection.get_model_replica_info("m", 3, 0) is None
    assert "Model m:3 is not registered" in caplog.text
    assert sorted(connection.get_all_models()) == ["m:1", "m:2"]
    with pytest.raises(ClipperException, match="No versions of model x registered with Clipper"):
        connection.get_current_model_version("x")


def test_build_needs_valid_names_but_no_connection(
    unconnected: ClipperConnection, tmp_path: pathlib.Path
) -> None:
    assert unconnected.build_model("m", 1, str(tmp_path), "base") == "fake-m:1"
    with pytest.raises(ClipperException, match="a model name must be a valid DNS-1123  subdomain"):
        unconnected.build_model("m_1", 1, str(tmp_path), "base")


@pytest.mark.parametrize("runs", [False, True])
def test_interrupted_start_stops_what_it_started(
    unconnected: ClipperConnection,
    cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    runs: bool,
) -> None:
    cluster.running = runs

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(unconnected, "_wait_for_restored_models", interrupt)
    with pytest.raises(KeyboardInterrupt):
        unconnected.start_clipper()
    stopped = "stop all graceful=False" in cluster.events
    assert stopped is not runs
    assert unconnected.connected is runs
