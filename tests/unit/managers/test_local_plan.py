from __future__ import annotations

import dataclasses
from pathlib import Path

from clipper.managers.base import ClusterOptions
from clipper.managers.local_plan import (
    ClusterRecord,
    DeclaredModel,
    ServiceSpec,
    core_services,
    model_service,
)
from clipper.managers.local_state import StateDir

OPTIONS = ClusterOptions("", "", "", cache_size_bytes=7, qf_http_thread_pool_size=2)
CLUSTER = ClusterRecord("c", "0.0.0.0", 1337, 1338, 7000, None, None, dataclasses.asdict(OPTIONS))
MODEL = DeclaredModel("m", "1", "c-m:1", "doubles", "noop", "/usr/bin/python", False, "/bundle")


def flags(spec: ServiceSpec) -> dict[str, str]:
    arguments = spec.argv[4:]
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


def test_the_store_comes_first_and_its_socket_is_everybodys_redis(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    store, management, query = core_services(CLUSTER, state)
    assert store.rank < management.rank < query.rank
    assert store.ready_socket == flags(store)["--socket"]
    url = f"unix://{store.ready_socket}"
    assert flags(management)["--redis-url"] == flags(query)["--redis-url"] == url


def test_a_given_redis_replaces_the_store(tmp_path: Path) -> None:
    cluster = dataclasses.replace(CLUSTER, redis_url="redis://r:6379/0")
    services = core_services(cluster, StateDir(tmp_path))
    assert [s.role for s in services] == ["management-frontend", "query-frontend"]
    assert flags(services[0])["--redis-url"] == "redis://r:6379/0"


def test_options_reach_the_query_frontend(tmp_path: Path) -> None:
    query = core_services(CLUSTER, StateDir(tmp_path))[-1]
    assert flags(query) | {
        "--host": "0.0.0.0",
        "--port": "1337",
        "--rpc-port": "7000",
        "--advertise-host": "127.0.0.1",
        "--prediction-cache-size": "7",
        "--workers": "2",
        "--timeout-request": "5",
        "--timeout-content": "300",
    } == flags(query)
    assert query.env["CLIPPER_TOKEN"] is None


def test_the_token_travels_in_the_environment_only(tmp_path: Path) -> None:
    cluster = dataclasses.replace(CLUSTER, token="secret")
    services = [*core_services(cluster, StateDir(tmp_path)), model_service(cluster, MODEL, 1, {})]
    assert all("secret" not in " ".join(s.argv) for s in services)
    assert services[-1].env["CLIPPER_TOKEN"] == services[-2].env["CLIPPER_TOKEN"] == "secret"


def test_replicas_compute_on_one_thread_unless_the_user_says_otherwise() -> None:
    spec = model_service(CLUSTER, MODEL, 1, {"MKL_NUM_THREADS": "4"})
    assert spec.env["OMP_NUM_THREADS"] == "1"
    assert spec.env["MKL_NUM_THREADS"] == "4"


def test_an_isolated_model_sees_nothing_of_this_environment() -> None:
    isolated = dataclasses.replace(MODEL, isolated=True)
    assert model_service(CLUSTER, isolated, 1, {}).env["PYTHONPATH"] is None
    assert "PYTHONPATH" not in model_service(CLUSTER, MODEL, 1, {}).env


def test_specifications_survive_json_and_differ_by_command_only() -> None:
    spec = model_service(CLUSTER, MODEL, 1, {})
    assert ServiceSpec.from_json(spec.to_json()) == spec
    assert dataclasses.replace(spec, replicas=5).identity() == spec.identity()
    rebuilt = dataclasses.replace(MODEL, model_path="/other")
    assert model_service(CLUSTER, rebuilt, 1, {}).identity() != spec.identity()


def test_every_worker_claims_an_rpc_port() -> None:
    assert [claim.port for claim in CLUSTER.port_claims()] == [1337, 1338, 7000, 7001]
