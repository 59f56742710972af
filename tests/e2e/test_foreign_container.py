"""A container that shares no code with Clipper serves a model of the real system."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.clusters import Cluster, eventually, local_cluster

from .open_loop import OpenLoop

REPOSITORY = Path(__file__).resolve().parents[2]
PEER = REPOSITORY / "tests" / "fakes" / "foreign_peer.py"
TOKEN = "only for friends"
START_TIMEOUT_S = 20.0


class Peer:
    """The foreign container as a process; its output by line."""

    def __init__(self, stubs: Path, *arguments: str) -> None:
        # -I: neither PYTHONPATH nor the working directory may offer the repository's packages.
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(PEER), str(stubs), "container", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=stubs,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def line(self) -> str:
        return self._lines.get(timeout=START_TIMEOUT_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line.strip())


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("grpc_tools")
    out = tmp_path_factory.mktemp("stubs")
    protos = REPOSITORY / "protos" / "clipper" / "v1"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"--python_out={out}"]
        + [f"--grpc_python_out={out}", "model_container.proto"],
        check=True,
        timeout=60,
    )
    return out


@pytest.fixture
def start(stubs: Path) -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def start_peer(*arguments: str) -> Peer:
        peers.append(Peer(stubs, *arguments))
        return peers[-1]

    yield start_peer
    for peer in peers:
        peer.close()


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    with local_cluster(
        tmp_path_factory.mktemp("foreign"), workers=request.param, token=TOKEN
    ) as cluster:
        yield cluster


@pytest.fixture
def app(guarded: Cluster) -> Iterator[Cluster]:
    guarded.clean()
    guarded.connection.register_application("app", "doubles", "DEFAULT", 500_000)
    guarded.connection.register_model("sums", "v1", "doubles")
    guarded.connection.link_model_to_app("app", "sums")
    yield guarded
    guarded.clean()


def addresses(cluster: Cluster) -> list[str]:
    return [worker["rpc_address"] for worker in cluster.connection._question("get_workers")]


def test_its_answers_come_back(app: Cluster, start: Callable[..., Peer]) -> None:
    assert app.predict("app", input=[1.0])["default"] is True
    peers = [start(address, "sums", "v1", TOKEN) for address in addresses(app)]
    for peer in peers:
        assert peer.line().startswith("REGISTERED")
    eventually(lambda: app.predict("app", input=[0.0])["default"] is False, "the model serves")
    eventually(lambda: len(app.connection.get_all_model_replicas()) == len(peers), "all are known")

    with OpenLoop(
        app.connection.get_query_addr(), "app", 200.0, lambda n: [float(n), 0.5], keep_alive=False
    ) as traffic:
        eventually(lambda: traffic.finished() >= 400, "answers")
    wrong = [s for s in traffic.samples if s.answered and s.body["output"] != s.number + 0.5]
    assert wrong == []
    assert sum(not sample.answered for sample in traffic.samples) <= 4

    batch = [[float(number)] * number for number in range(100)]
    answers = app.predict("app", input_batch=batch)["batch_predictions"]
    assert [a["output"] for a in answers] == [float(number * number) for number in range(100)]


def test_it_is_refused_without_the_token(app: Cluster, start: Callable[..., Peer]) -> None:
    assert start(addresses(app)[0], "sums", "v1", "guess").line() == "REFUSED"
    assert app.connection.get_all_model_replicas() == []


def test_a_stopping_frontend_dismisses_it(tmp_path: Path, start: Callable[..., Peer]) -> None:
    with local_cluster(tmp_path) as cluster:
        cluster.connection.register_model("sums", "v1", "doubles")
        peer = start(addresses(cluster)[0], "sums", "v1")
        assert peer.line().startswith("REGISTERED")
        cluster.connection.stop_all()
        assert peer.line() == "DRAIN"
        assert peer.process.wait(10) == 0


def test_a_killed_one_is_noticed_and_a_new_one_takes_over(
    app: Cluster, start: Callable[..., Peer]
) -> None:
    peers = [start(address, "sums", "v1", TOKEN) for address in addresses(app)]
    for peer in peers:
        peer.line()
    eventually(lambda: app.predict("app", input=[0.0])["default"] is False, "the model serves")
    for peer in peers:
        peer.process.kill()
    eventually(lambda: app.connection.get_all_model_replicas() == [], "the loss is noticed", 10.0)
    answer = app.predict("app", input=[77.0])
    assert (answer["default"], answer["output"]) == (True, "DEFAULT")
    for address in addresses(app):
        start(address, "sums", "v1", TOKEN).line()
    eventually(lambda: app.predict("app", input=[78.0])["default"] is False, "it serves again")
