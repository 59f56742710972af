"""Bytes that no honest client sends, to both frontends: refused, bounded, and felt by nobody else.

The cluster gives a request's head and its body one second each. When the module is done, the same
processes run as at its beginning, and their logs are short and show no traceback.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from clipper.deployers import python as python_deployer
from clipper.managers import local
from clipper.managers.local_plan import QUERY, ServiceSpec, core_services
from clipper.settings import HttpProtocol
from tests.e2e.clusters import Cluster, eventually, local_cluster

from . import models

TIMEOUT_S = 1
BODY = b'{"input":[1.0]}'
HEAD = b"POST /app/predict HTTP/1.1\r\nHost: x\r\n"
GOOD = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LARGEST_LOG_BYTES = 64 * 1024

Frontend = Callable[[], socket.socket]


@pytest.fixture(scope="module", params=list(HttpProtocol))
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A cluster whose query frontend reads HTTP in the one way, then in the other."""
    timeouts = {"qf_http_timeout_request": TIMEOUT_S, "qf_http_timeout_content": TIMEOUT_S}
    directory = tmp_path_factory.mktemp("hostile")
    with _reading_by(request.param), local_cluster(directory, start=timeouts) as cluster:
        python_deployer.create_endpoint(
            cluster.connection, "app", "doubles", models.doubler(), slo_micros=5_000_000
        )
        pids = all_pids(cluster)
        yield cluster
        assert cluster.predict("app", input=[21.0])["output"] == 42.0
        assert pids <= all_pids(cluster), "a process died"
    for log in (directory / "state" / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert "Traceback" not in text, text[-4000:]
        assert len(text) < LARGEST_LOG_BYTES, f"{log.name}: {text[:2000]}"


@contextlib.contextmanager
def _reading_by(protocol: HttpProtocol) -> Iterator[None]:
    """Start query frontends with ``--http-protocol``, which is no setting of a cluster."""

    def services(*arguments: Any) -> list[ServiceSpec]:
        return [
            dataclasses.replace(service, argv=(*service.argv, "--http-protocol", protocol))
            if service.role == QUERY
            else service
            for service in core_services(*arguments)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "core_services", services)
        yield


def all_pids(cluster: Cluster) -> set[int]:
    supervisor = cluster.pids("supervisor")[0]
    return {process.pid for process in psutil.Process(supervisor).children(recursive=True)}


@pytest.fixture(params=["query", "management"])
def frontend(request: pytest.FixtureRequest, served: Cluster) -> Frontend:
    """Connects to one of the two frontends."""
    if request.param == "query":
        return lambda: connect(served.connection.get_query_addr())
    return lambda: connect(served.manager.get_admin_addr())


@pytest.fixture
def query(served: Cluster) -> Frontend:
    return lambda: connect(served.connection.get_query_addr())


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def until_closed(sock: socket.socket) -> bytes:
    """Return everything that the server sends until it closes; a reset counts as the end."""
    received = b""
    with sock, contextlib.suppress(ConnectionError):
        while block := sock.recv(1 << 16):
            received += block
    return received


def exchange(connect_: Frontend, data: bytes) -> bytes:
    """Send, and return all until the server closes the connection."""
    sock = connect_()
    with contextlib.suppress(ConnectionError):
        sock.sendall(data)
    return until_closed(sock)


def answer(sock: socket.socket, request: bytes = GOOD) -> tuple[int, bytes]:
    """Send a request on a connection that stays open; return status and body."""
    sock.sendall(request)
    file = sock.makefile("rb")
    status = int(file.readline().split()[1])
    length = 0
    while (line := file.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode().partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return status, file.read(length)


def statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


MALFORMED = {
    "binary": b"\x00\xff\x00 garbage\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "connect": b"CONNECT a:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown version": b"POST /app/predict HTTP/3.7\r\nHost: x\r\n\r\n",
    "raw bytes in the path": b"POST /\xff\xfe/predict HTTP/1.1\r\nHost: x\r\n\r\n",
    "zero byte in a header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
    "negative length": HEAD + b"Content-Length: -5\r\n\r\n" + BODY,
    "length without digits": HEAD + b"Content-Length: abc\r\n\r\n" + BODY,
    "endless length": HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n" + BODY,
    "two lengths": HEAD + b"Content-Length: 15\r\nContent-Length: 16\r\n\r\n" + BODY,
    "length and chunks": HEAD
    + b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk without size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n0\r\n\r\n",
    "chunk of endless size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 18 + b"\r\nx",
    "later chunk broken": HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"inp\r\nXY\r\n',
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_get_400_and_the_connection_ends(frontend: Frontend, name: str) -> None:
    started_s = time.monotonic()
    received = exchange(frontend, MALFORMED[name])
    assert statuses(received) == [400], received
    assert time.monotonic() - started_s < TIMEOUT_S


UNFINISHED = {
    "nothing": b"",
    "half a request line": b"POST /app/pre",
    "half a head": HEAD,
    "empty lines": b"\r\n\r\n\r\n",
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_head_that_does_not_end_is_given_up(query: Frontend, name: str) -> None:
    silent = query()
    started_s = time.monotonic()
    silent.sendall(UNFINISHED[name])
    with query() as other:
        assert answer(other)[0] == 200
    received = until_closed(silent)
    assert TIMEOUT_S / 2 < time.monotonic() - started_s < 10 * TIMEOUT_S
    assert statuses(received) in ([], [408])


def test_the_management_frontend_gives_up_silent_connections_too(served: Cluster) -> None:
    silent = connect(served.manager.get_admin_addr())
    silent.sendall(b"POST /admin/add_app HT")
    assert statuses(until_closed(silent)) == [408]


@pytest.mark.parametrize("piece", [b"\r\n", b"X-A: b\r\n"], ids=["line breaks", "headers"])
def test_a_head_that_trickles_in_for_ever_is_given_up(query: Frontend, piece: bytes) -> None:
    with query() as sock:
        answer(sock)
        sock.sendall(b"GET /livez HTTP/1.1\r\n" if piece.strip() else b"")
        eventually(lambda: _cannot_send(sock, piece), "the connection is cut", pause_s=0.1)


def _cannot_send(sock: socket.socket, piece: bytes) -> bool:
    try:
        sock.sendall(piece)
    except ConnectionError:
        return True
    return False


def test_half_a_body_and_then_silence(query: Frontend) -> None:
    silent = query()
    silent.sendall(HEAD + b'Content-Length: 100\r\n\r\n{"input"')
    with query() as other:
        assert answer(other)[0] == 200
    received = until_closed(silent)
    assert statuses(received) == [408]
    assert b"was not complete after 1 s" in received


def test_endless_headers_cost_no_memory(frontend: Frontend, served: Cluster) -> None:
    before = resident_bytes(served)
    flood = HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(40_000))
    assert statuses(exchange(frontend, flood)) in ([], [431])
    assert statuses(exchange(frontend, HEAD + b"X: " + b"a" * 40_000_000)) in ([], [431])
    assert resident_bytes(served) - before < 30_000_000


def resident_bytes(cluster: Cluster) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in all_pids(cluster))


def test_large_but_lawful_headers_are_taken(query: Frontend) -> None:
    with query() as sock:
        padded = GOOD.replace(b"Host: x", b"Host: x\r\nCookie: " + b"c" * 30_000)
        assert answer(sock, padded)[0] == 200


def test_a_body_over_the_limit_is_refused_and_the_connection_is_sane(query: Frontend) -> None:
    size = (32 << 20) + 1
    with query() as sock:
        status, body = answer(sock, HEAD + b"Content-Length: %d\r\n\r\n" % size)
        assert status == 413
        assert b"--max-body-bytes" in body
        # Once the body that was announced has passed, the connection is good for another query.
        sock.sendall(b" " * size)
        assert answer(sock)[0] == 200


def test_a_chunked_body_over_the_limit_is_refused(query: Frontend) -> None:
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    received = exchange(query, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 34)
    assert statuses(received) in ([], [413])


def test_a_management_body_over_the_limit_is_refused_at_once(served: Cluster) -> None:
    with connect(served.manager.get_admin_addr()) as sock:
        head = b"POST /admin/add_app HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
        assert answer(sock, head)[0] == 413


def test_the_largest_batch_is_served_and_one_more_refused(served: Cluster) -> None:
    inputs = [[float(number)] for number in range(10_000)]
    parts = served.predict("app", input_batch=inputs)["batch_predictions"]
    assert [part["output"] for part in parts] == [2.0 * number for number in range(10_000)]

    refused = served.post("app", input_batch=[*inputs, [0.0]])
    assert refused.status_code == 400
    assert "at most 10000" in refused.json()["cause"]


PATHS = {
    b"/" + b"a" * 50_000 + b"/predict": 404,
    b"/%61pp/predict": 200,
    b"/app/predict/": 200,
    b"/app/predict?x=%ff&y": 200,
    b"/%ff%fe/predict": 404,
    b"/%00/predict": 404,
    b"/%/predict": 404,
    b"/%0d%0aX-Injected:%201/predict": 404,
    b"//predict": 404,
    b"/predict": 404,
    b"/../../etc/passwd/predict": 404,
    b"/app%2fpredict": 200,
    b"*": 404,
}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: repr(path[:30]))
def test_strange_paths(query: Frontend, path: bytes) -> None:
    with query() as sock:
        status, body = answer(sock, GOOD.replace(b"/app/predict", path))
        assert status == PATHS[path], body
        if status == 404:
            assert set(json.loads(body)) == {"error", "cause"}
        assert answer(sock)[0] == 200


BODIES = {
    "empty": b"",
    "not utf-8": b'{"input":\xff\xfe}',
    "not a number": b'{"input":[NaN]}',
    "deeply nested": b"[" * 200_000,
    "nested in the input": b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge number": b'{"input":[' + b"9" * 100_000 + b"]}",
    "huge exponent": b'{"input":[1e999999]}',
    "wrong type": b'{"input":{"a":1}}',
    "lone surrogate": b'{"input":["\\ud800"]}',
    "wrong version": b'{"input":[1.0],"version":"\\u0000"}',
    "no object": b"null",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("operation", ["predict", "update"])
def test_bodies_that_are_wrong_get_400_and_the_connection_is_used_again(
    query: Frontend, operation: str, name: str
) -> None:
    head = b"POST /app/%s HTTP/1.1\r\nHost: x\r\n" % operation.encode()
    body = BODIES[name]
    with query() as sock:
        for _ in range(2):
            status, text = answer(sock, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert status == 400, text
            assert len(text) < 10_000
        assert answer(sock)[0] == 200


def test_pipelined_requests_are_answered_in_order(query: Frontend) -> None:
    requests = b"".join(
        GOOD.replace(b"Content-Length: 15", b"Content-Length: 17").replace(BODY, b)
        for b in (b'{"input":[%05.1f]}' % (100 + n) for n in range(60))
    )
    received = exchange(query, requests)
    outputs = [json.loads(part.split(b"\r\n\r\n")[1]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert [part["output"] for part in outputs] == [2.0 * (100 + n) for n in range(60)]


UPGRADE = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\n\r\n"


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_an_upgrade_that_is_not_offered_is_ignored(query: Frontend, upgrade: bytes) -> None:
    """Java's HTTP client asks for h2c with every first request."""
    asking = GOOD.replace(b"Host: x\r\n", UPGRADE.rstrip(b"\r\n") % upgrade + b"\r\n")
    with query() as sock:
        for _ in range(3):
            status, body = answer(sock, asking)
            assert status == 200, body
            assert json.loads(body)["output"] == 2.0
        assert answer(sock, b"GET /livez HTTP/1.1\r\n" + UPGRADE % upgrade)[0] == 200
        assert answer(sock)[0] == 200


def test_clients_that_go_away_while_waiting(served: Cluster, query: Frontend) -> None:
    python_deployer.create_endpoint(
        served.connection, "slow", "doubles", models.doubler(0.3), slo_micros=5_000_000
    )
    for number in range(100):
        body = b'{"input":[%d]}' % (1000 + number)
        head = GOOD.replace(b"/app/", b"/slow/").split(b"Content-Length")[0]
        with query() as sock:
            sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert served.predict("slow", input=[4.0])["output"] == 8.0


def test_a_thousand_idle_connections_disturb_nobody_and_end(
    served: Cluster, query: Frontend
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(3000, limit - 200)
    worker = psutil.Process(served.pids("query-frontend")[0]).children()[0]
    before = worker.num_fds()
    with contextlib.ExitStack() as idle:
        for _ in range(count):
            idle.enter_context(query())
        eventually(lambda: worker.num_fds() - before < count // 2, "idle connections are closed")
        for number in range(20):
            assert served.predict("app", input=[float(number)])["output"] == 2.0 * number
    eventually(lambda: worker.num_fds() - before < 20, "their descriptors are free")


def test_a_client_that_never_reads_is_cut_off(served: Cluster, query: Frontend) -> None:
    worker = psutil.Process(served.pids("query-frontend")[0]).children()[0]
    before = worker.num_fds()
    with query() as sock:
        sock.setblocking(False)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(100_000):
                sock.send(request * 100)
        eventually(lambda: worker.num_fds() <= before, "the connection is gone", 60 * TIMEOUT_S)


def test_many_hostile_clients_at_once(served: Cluster, query: Frontend) -> None:
    attacks = [*MALFORMED.values(), *UNFINISHED.values()] * 8
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        results = [pool.submit(exchange, query, attack) for attack in attacks]
        for number in range(50):
            assert served.predict("app", input=[float(number)])["output"] == 2.0 * number
        for result in results:
            assert set(statuses(result.result(timeout=60))) <= {400, 408}


def test_logs_name_a_repeated_fault_once_a_minute(served: Cluster, frontend: Frontend) -> None:
    logs = Path(served.manager.status()["state_dir"]) / "logs"
    for _ in range(300):
        exchange(frontend, MALFORMED["binary"])
    for log in logs.glob("*-frontend-*.log"):
        assert log.read_text().count("Invalid HTTP request") <= 5
