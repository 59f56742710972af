"""An engine that accepts calls and does not answer: errors in words and in time, no lost query."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.deployers import python as python_deployer
from clipper.managers.docker import build
from clipper.managers.docker.engine import Engine, EngineAbsent
from clipper.managers.docker.manager import DockerContainerManager
from clipper.managers.stock_images import stock_image
from tests.e2e import models
from tests.e2e.clusters import DockerCluster, remove_remains
from tests.e2e.traffic import answered_since, check_answers, defaults, load
from tests.stock import StockImages, dropped_sockets

from .silent_engine import EngineProxy, engine_proxy

SOCKET = "/var/run/docker.sock"
PATIENCE_S = 3
SLO_MICROS = 5_000_000
NOOP = stock_image("noop-container")

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(not Path(SOCKET).is_socket(), reason="the engine has no Unix socket here"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineProxy]:
    """The engine that this process now uses."""
    with dropped_sockets(), engine_proxy(tmp_path, SOCKET) as proxy:
        monkeypatch.setenv("DOCKER_HOST", proxy.url)
        yield proxy


def impatient_connection(cluster_name: str) -> ClipperConnection:
    return ClipperConnection(
        DockerContainerManager(
            cluster_name, clipper_query_port=0, clipper_management_port=0, clipper_rpc_port=0,
            redis_port=0, docker_network=f"net-{cluster_name}", prometheus_image=None,
            engine=Engine(timeout_s=PATIENCE_S),
        )
    )  # fmt: skip


def test_no_manager_without_an_answer(proxy: EngineProxy) -> None:
    proxy.fall_silent()

    with pytest.raises(EngineAbsent, match=rf"within {PATIENCE_S} s while connecting.+docker info"):
        Engine(timeout_s=PATIENCE_S)


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")

    with (
        dropped_sockets(),
        pytest.raises(EngineAbsent, match=r"cannot be reached while connecting.*DOCKER_HOST"),
    ):
        DockerContainerManager("c")


Step = Callable[[ClipperConnection, Path], object]

STEPS: dict[str, tuple[str, Step]] = {
    "connect": ("/containers/json", lambda connection, _: connection.connect()),
    "deploy, looking for the image": (
        "/images/",
        lambda connection, _: connection.deploy_model("m", 1, "doubles", NOOP),
    ),
    "deploy, making a container": (
        "/containers/create",
        lambda connection, _: connection.deploy_model("m", 1, "doubles", NOOP),
    ),
    "deploy, starting it": (
        "/start",
        lambda connection, _: connection.deploy_model("m", 1, "doubles", NOOP),
    ),
    "scale down": (
        "/stop",
        lambda connection, _: connection.set_num_replicas("app", 1),
    ),
    "build": (
        "/build",
        lambda connection, directory: connection.build_model("m", 1, str(directory), NOOP),
    ),
    "logs": ("/logs", lambda connection, directory: connection.get_clipper_logs(str(directory))),
    "count": ("/containers/", lambda connection, _: connection.get_num_replicas("app", 1)),
    "stop all": ("/containers/", lambda connection, _: connection.stop_all()),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_call_that_is_never_answered_ends_and_predictions_go_on(
    cluster: DockerCluster,
    proxy: EngineProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    request, step = STEPS[name]
    monkeypatch.setattr(build, "SILENCE_LIMIT_S", PATIENCE_S)
    python_deployer.create_endpoint(
        cluster.connection, "app", "doubles", models.doubler(), "DEFAULT",
        slo_micros=SLO_MICROS, num_replicas=2,
    )  # fmt: skip
    connection = impatient_connection(cluster.manager.cluster_name)
    connection.connect()
    (tmp_path / "data").mkdir()
    with load(cluster, 30.0) as traffic:
        answered_since(traffic, 20)
        proxy.fall_silent_at(request)
        with pytest.raises(EngineAbsent, match="docker info"):
            step(connection, tmp_path / "data")
        answered_since(traffic, 20)
        proxy.speak()

    check_answers(traffic.samples)
    assert defaults(traffic.samples) == []
    assert "m:1" not in cluster.connection.get_all_models()
    connection.set_num_replicas("app", 1)
    assert cluster.ready_replicas("app", "1") == 1


def test_a_start_that_the_engine_leaves_half_done_can_be_repeated(
    stock_images: StockImages, proxy: EngineProxy
) -> None:
    stock_images.need("frontend")
    name = f"test-{uuid.uuid4().hex[:8]}"
    connection = impatient_connection(name)
    try:
        proxy.fall_silent_at("/exec")
        with pytest.raises(EngineAbsent, match="docker info"):
            connection.start_clipper()
        proxy.speak()

        connection.stop_all()
        connection.start_clipper()
        assert connection.get_all_apps() == []
        connection.stop_all()
    finally:
        proxy.speak()
        remove_remains(stock_images.engine.client, name)
