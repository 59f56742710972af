"""Containers of a Docker cluster as they are described, before an engine is asked."""

from __future__ import annotations

from typing import Any

import pytest
from docker.types import LogConfig

from clipper.errors import ClipperException
from clipper.managers.base import ClusterOptions
from clipper.managers.docker import plan
from clipper.managers.docker.central_logging import Collector
from clipper.managers.docker.plan import Model
from clipper.managers.docker.specs import ClusterSettings, check_extra, create_arguments

OPTIONS = ClusterOptions("r/query_frontend:1", "r/management_frontend:1", "r/x:1")
MODEL = Model("m", "1", "doubles", "img:1", "sha256:abc")


def settings(**changed: Any) -> ClusterSettings:
    base: dict[str, Any] = {
        "cluster_name": "c",
        "docker_ip_address": "localhost",
        "bind_address": "127.0.0.1",
        "network": "net",
        "query_port": 1337,
        "management_port": 1338,
        "rpc_port": 7000,
        "redis_ip": None,
        "redis_port": 6379,
        "redis_url": None,
        "prometheus_port": 9090,
        "fluentd_port": 24224,
        "centralized_log": False,
        "prometheus_image": "prom",
        "store_image": None,
        "fluentd_image": "fluentd",
        "token": None,
        "extra": {},
    }
    return ClusterSettings(**{**base, **changed})


def arguments(spec: Any, given: ClusterSettings, **changed: Any) -> dict[str, Any]:
    host_ports = {port.inner: port.wanted for port in spec.ports}
    return create_arguments(spec, given, "name-1", host_ports | changed, None)


@pytest.mark.parametrize(
    ("changed", "url", "on_host"),
    [
        ({"redis_ip": "10.0.0.1", "redis_port": 7777}, "redis://10.0.0.1:7777/0", False),
        ({"redis_ip": "fd00::1"}, "redis://[fd00::1]:6379/0", False),
        ({"redis_ip": "localhost"}, "redis://host.docker.internal:6379/0", True),
        (
            {"redis_url": "rediss://u:p%40@127.0.0.1:1/3?x=1"},
            "rediss://u:p%40@host.docker.internal:1/3?x=1",
            True,
        ),
        ({"redis_url": "redis://:secret@db:1/2", "redis_ip": "x"}, "redis://:secret@db:1/2", False),
    ],
)
def test_address_of_an_external_redis(changed: dict[str, Any], url: str, on_host: bool) -> None:
    assert plan.external_store(settings(**changed)) == plan.StoreAddress(url, on_host)


def test_a_redis_that_containers_cannot_reach_is_refused() -> None:
    assert plan.external_store(settings()) is None
    with pytest.raises(ClipperException, match="redis_url must be redis://host:port"):
        plan.external_store(settings(redis_url="unix:///tmp/redis.sock"))


def test_published_ports_stay_on_this_host_unless_others_shall_reach_them() -> None:
    assert [plan.default_bind_address(host) for host in ("localhost", "127.0.0.2", "10.0.0.1")] == [
        "127.0.0.1",
        "127.0.0.1",
        "0.0.0.0",
    ]
    given = settings(bind_address="0.0.0.0")
    store = arguments(plan.store_container(given, "img", "secret"), given)
    assert store["ports"] == {"6379/tcp": ("127.0.0.1", 6379)}
    assert store["volumes"] == ["clipper-c-redis:/data:rw"]


def test_query_frontend() -> None:
    given = settings(token="t", bind_address="0.0.0.0")
    store = plan.own_store("redis-7", "secret")
    made = arguments(plan.query_container(given, OPTIONS, store), given)
    assert made["ports"] == {"1337/tcp": ("0.0.0.0", 1337), "7000/tcp": ("0.0.0.0", 7000)}
    assert made["environment"] == {
        "CLIPPER_REDIS_URL": "redis://:secret@redis-7:6379/0",
        "CLIPPER_TOKEN": "t",
        "CLIPPER_ADVERTISE_HOST": "name-1",
    }
    assert "secret" not in " ".join(made["command"])
    assert made["command"][made["command"].index("--workers") + 1] == "1"
    assert made["restart_policy"] == {"Name": "unless-stopped"}
    assert made["labels"] == {
        "ai.clipper.container.label": "c",
        "ai.clipper.name": "query-frontend",
        "ai.clipper.parts": "mgmt-frontend,query-frontend,redis,metrics",
        "ai.clipper.query_frontend.label": "",
        "ai.clipper.query_frontend.query.port": "1337",
        "ai.clipper.query_frontend.rpc.port": "7000",
    }
    assert made["extra_hosts"] == {}


def test_labels_tell_the_port_that_was_taken() -> None:
    given = settings()
    spec = plan.management_container(given, "img", plan.StoreAddress("redis://h/0", on_host=True))
    made = create_arguments(spec, given, "mgmt_frontend-1", {1338: 20000}, None)
    assert made["labels"]["ai.clipper.management.port"] == "20000"
    assert made["ports"] == {"1338/tcp": ("127.0.0.1", 20000)}
    assert made["extra_hosts"] == {"host.docker.internal": "host-gateway"}


def test_model_container() -> None:
    given = settings(token="t", extra={"environment": ["OMP_NUM_THREADS=4", "CLIPPER_IP=evil"]})
    spec = plan.model_container(given, MODEL, "img:1", "query_frontend-3", {"MKL_NUM_THREADS": "2"})
    made = arguments(spec, given)
    assert spec.prefix == "m_1"
    assert {
        "CLIPPER_MODEL_NAME": "m",
        "CLIPPER_MODEL_VERSION": "1",
        "CLIPPER_IP": "query_frontend-3",
        "CLIPPER_INPUT_TYPE": "doubles",
        "CLIPPER_TOKEN": "t",
        "OMP_NUM_THREADS": "4",
        "MKL_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "1",
    }.items() <= made["environment"].items()
    assert made["labels"]["ai.clipper.model_container.label"] == "m_1"
    assert "command" not in made


def test_extra_arguments_are_merged_and_ours_win_where_both_cannot_be() -> None:
    given = settings(
        extra={
            "labels": {"mine": "1", "ai.clipper.container.label": "other"},
            "environment": {"A": "1"},
            "network": "host",
            "detach": False,
            "remove": True,
            "mem_limit": "1g",
            "volumes": {"/data": {"bind": "/data2", "mode": "ro"}},
            "extra_hosts": {"db": "10.0.0.1"},
            "restart_policy": {"Name": "on-failure"},
            "name": "x",
        }
    )
    made = arguments(plan.store_container(given, "img", "p"), given)
    assert made["labels"]["mine"] == "1"
    assert made["labels"]["ai.clipper.container.label"] == "c"
    assert made["environment"] == {"A": "1", "CLIPPER_REDIS_PASSWORD": "p"}
    assert (made["network"], made["detach"], made["name"]) == ("net", True, "name-1")
    assert made["mem_limit"] == "1g"
    assert made["volumes"] == ["/data:/data2:ro", "clipper-c-redis:/data:rw"]
    assert made["extra_hosts"] == {"db": "10.0.0.1"}
    assert made["restart_policy"] == {"Name": "on-failure"}
    assert "remove" not in made


@pytest.mark.parametrize(
    "extra",
    [
        ["mem_limit"],
        {"ports": ["80"]},
        {"volumes": {"/tmp": "/x"}},
        {"volumes": "/tmp:/x"},
        {"environment": 5},
        {"environment": "A=1"},
        {"labels": [1]},
        {"extra_hosts": "db:10.0.0.1"},
    ],
)
def test_extra_arguments_of_a_wrong_form_are_told_at_once(extra: Any) -> None:
    with pytest.raises(ClipperException, match=r"extra_container_kwargs.* must be a .* not "):
        check_extra(extra)


def test_extra_arguments_may_be_lists_as_docker_takes_them() -> None:
    extra = check_extra(
        {"environment": ["A=1"], "labels": ("b=c",), "volumes": ["/a:/b:ro"],
         "extra_hosts": ["db:10.0.0.1"], "ports": None}
    )  # fmt: skip
    given = settings(extra=extra)
    made = arguments(plan.store_container(given, "img", "p"), given)
    assert made["environment"]["A"] == "1"
    assert made["labels"]["b"] == "c"
    assert made["volumes"][0] == "/a:/b:ro"
    assert made["extra_hosts"] == {"db": "10.0.0.1"}


@pytest.mark.parametrize("host", ["", "http://localhost", "a b", "0.0.0.0", "::"])
def test_hosts_that_no_address_can_have(host: str) -> None:
    with pytest.raises(ClipperException, match="docker_ip_address"):
        plan.check_host(host)


def test_centralized_logging_is_for_all_but_the_collector() -> None:
    given = settings()
    store = plan.store_container(given, "img", "p")
    collector = plan.logging_container(given)
    made = [
        create_arguments(spec, given, "n", {6379: 1, 24224: 2}, Collector(2))
        for spec in (store, collector)
    ]
    assert made[0]["log_config"].type == "fluentd"
    assert "log_config" not in made[1]
    assert set(made[1]["ports"]) == {"24224/tcp", "24224/udp"}


@pytest.mark.parametrize(
    ("driver", "extra", "limited"),
    [
        ("json-file", {}, True),
        ("json-file", {"log_config": LogConfig(type="journald")}, False),
        ("journald", {}, False),
    ],
)
def test_logs_in_files_are_bounded(driver: str, extra: dict[str, Any], limited: bool) -> None:
    given = settings(extra=extra)
    spec = plan.model_container(given, MODEL, "img:1", "query_frontend-1", {})

    made = create_arguments(spec, given, "name-1", {}, None, driver)

    found = made.get("log_config")
    assert (found is not None and "max-size" in found.config) is limited


def test_prometheus_reaches_a_container_whose_name_is_too_long_for_dns() -> None:
    assert plan.metrics_host("m_1-5", "0123456789abcdef") == "m_1-5"
    assert plan.metrics_host("m" * 64, "0123456789abcdef") == "0123456789ab"
