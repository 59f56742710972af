"""The kernel ends the store, or a worker of the query frontend, for want of memory, under load."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from docker.models.containers import Container

from clipper.managers.docker.specs import QUERY_PORT_LABEL, REDIS_PORT_LABEL
from tests.e2e.clusters import DockerCluster, docker_cluster, eventually
from tests.e2e.traffic import answered_since, check_answers, defaults, load
from tests.stock import StockImages

from .test_faults_frontend import RATE_PER_S, check_recovered, serve
from .test_faults_store import WRITE_LIMIT_S, registers

HEADROOM = 24 * 2**20
"""Bytes that a container may take beyond what it has."""

PIECE = b"7" * 2**20


@pytest.fixture(scope="module")
def shared_cluster(stock_images: StockImages) -> Iterator[DockerCluster]:
    """A cluster of this module's own: limits of memory stay with its containers."""
    with docker_cluster(stock_images, "python-closure") as cluster:
        yield cluster


def limit_memory(container: Container) -> None:
    used = container.stats(stream=False)["memory_stats"]["usage"]
    container.update(mem_limit=used + HEADROOM, memswap_limit=used + HEADROOM)


def was_short(container: Container, since_s: float) -> bool:
    """Tell whether the kernel has ended a process of the container for want of memory."""
    events = container.client.events(
        since=int(since_s), until=int(time.time()) + 1, decode=True,
        filters={"container": container.id, "event": "oom"},
    )  # fmt: skip
    return any(events)


def overfill_store(container: Container) -> None:
    """Send one command that is larger than the limit; nothing of it is kept when it ends."""
    environment = dict(entry.partition("=")[::2] for entry in container.attrs["Config"]["Env"])
    password = environment["CLIPPER_REDIS_PASSWORD"].encode()
    port = int(container.labels[REDIS_PORT_LABEL])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n" % (len(password), password))
        assert connection.recv(100) == b"+OK\r\n"
        connection.sendall(b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % (400 * 2**20))
        with contextlib.suppress(OSError):
            for _ in range(400):
                connection.sendall(PIECE)


def overfill_frontend(container: Container) -> None:
    """Send bodies side by side that fit one by one, but not together."""
    port = int(container.labels[QUERY_PORT_LABEL])
    size = 30 * 2**20
    together = threading.Barrier(6)

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.putrequest("POST", "/app/predict")
            connection.putheader("Content-Length", str(size))
            connection.endheaders()
            together.wait(20)
            for _ in range(size // len(PIECE) - 1):  # the last piece never comes
                connection.send(PIECE)
            connection.sock.recv(1)
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize(
    ("role", "overfill"),
    [
        pytest.param("store", overfill_store, marks=pytest.mark.slow),
        ("query-frontend", overfill_frontend),
    ],
)
def test_a_part_of_the_core_without_memory_comes_back(
    cluster: DockerCluster, role: str, overfill: Callable[[Container], None]
) -> None:
    serve(cluster)
    container = cluster.containers(role)[0]
    limit_memory(container)
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        began_s = time.time()
        overfill(container)
        eventually(lambda: was_short(container, began_s), "the kernel ends a process")
        eventually(lambda: registers(cluster, "later"), "writes again", WRITE_LIMIT_S)
        answered_since(traffic, 100)

    check_answers(traffic.samples)
    reasons = {sample.reason for sample in defaults(traffic.samples)}
    assert reasons <= (set() if role == "store" else {"slo", "no-replica"})
    check_recovered(cluster)
