"""Models and engines that fail: what the user is told, and how soon."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper.errors import ClipperException, ContainerStartError
from clipper.managers.docker import DockerContainerManager
from clipper.managers.docker.engine import Engine, EngineAbsent
from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import DockerCluster, docker_cluster
from tests.stock import StockImages, dropped_sockets

CLOSURE = stock_image("python311-closure-container")

pytestmark = pytest.mark.docker


def pickled(directory: Path, expression: str) -> str:
    """Write a model whose loading evaluates the expression."""
    (directory / "func.pkl").write_bytes(b"cbuiltins\neval\n(V" + expression.encode() + b"\ntR.")
    return str(directory)


def deploy(cluster: DockerCluster, data: str) -> None:
    cluster.connection.build_and_deploy_model("bad", "1", "doubles", data, CLOSURE)


def test_a_model_that_dies_raises_with_its_log(cluster: DockerCluster, tmp_path: Path) -> None:
    data = pickled(tmp_path, "1 / 0")
    with pytest.raises(ContainerStartError) as caught:
        deploy(cluster, data)
    text = str(caught.value)
    assert "exited with status 1" in text
    assert "ZeroDivisionError" in text
    assert "Last lines of container bad_1-" in text
    assert cluster.containers("model:bad:1", stopped=True) == []
    assert cluster.connection.get_all_models() == []


def test_a_missing_package_is_named_at_once(cluster: DockerCluster, tmp_path: Path) -> None:
    data = pickled(tmp_path, "__import__('no_such_package')")
    with pytest.raises(ContainerStartError) as caught:
        deploy(cluster, data)
    assert "name it in pkgs_to_install" in str(caught.value)
    assert "No module named 'no_such_package'" in str(caught.value)


@pytest.mark.slow
def test_a_model_that_needs_too_much_memory(stock_images: StockImages, tmp_path: Path) -> None:
    limits = {"mem_limit": "256m", "memswap_limit": "256m"}
    data = pickled(tmp_path, "b'x' * 10**9")
    with (
        docker_cluster(
            stock_images, "python-closure", prometheus_image=None, extra_container_kwargs=limits
        ) as cluster,
        pytest.raises(ContainerStartError, match="more memory than its limit of 256 MiB"),
    ):
        deploy(cluster, data)


def test_a_container_that_cannot_be_started_leaves_nothing(cluster: DockerCluster) -> None:
    cluster.client.images.get(CLOSURE).tag("clipper-test/no-entry", "1")
    manager = DockerContainerManager(
        cluster.manager.cluster_name, extra_container_kwargs={"entrypoint": "/no/such/program"}
    )
    manager.connect()
    try:
        with pytest.raises(ContainerStartError, match="/no/such/program"):
            manager.deploy_model("bad", "1", "doubles", "clipper-test/no-entry:1", 2)
    finally:
        cluster.client.images.remove("clipper-test/no-entry:1")
    assert cluster.containers("model:bad:1", stopped=True) == []


def test_an_argument_that_docker_does_not_know(cluster: DockerCluster) -> None:
    manager = DockerContainerManager(
        cluster.manager.cluster_name, extra_container_kwargs={"memory": "1g"}
    )
    manager.connect()
    with pytest.raises(ClipperException, match=r"extra_container_kwargs.*memory"):
        manager.deploy_model("bad", "1", "doubles", CLOSURE)


class Relay:
    """A socket in front of the engine's that can stop answering."""

    def __init__(self, path: Path) -> None:
        self.frozen = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect("/var/run/docker.sock")
                self._open += [client, engine]
                for source, sink in ((client, engine), (engine, client)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.frozen.is_set():
                    sink.sendall(data)

    def close(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    path = tmp_path / f"{uuid.uuid4().hex[:6]}.sock"
    relay = Relay(path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    try:
        with dropped_sockets():
            yield relay
    finally:
        relay.close()


def test_an_engine_that_never_answers(relay: Relay) -> None:
    relay.frozen.set()
    with pytest.raises(EngineAbsent, match="docker info"):
        DockerContainerManager(engine=Engine(timeout_s=1))


def test_an_engine_that_stops_answering(relay: Relay) -> None:
    manager = DockerContainerManager("nobody-has-this-name", engine=Engine(timeout_s=1))
    assert manager.status()["state"] == "stopped"
    relay.frozen.set()
    for call in (
        manager.connect,
        manager.status,
        manager.stop_all,
        lambda: manager.get_num_replicas("m", "1"),
        lambda: manager.deploy_model("m", "1", "doubles", CLOSURE),
    ):
        with pytest.raises(EngineAbsent, match=r"did not answer within 1 s.*docker info"):
            call()
