"""Server processes that start while their store is away, as they may when a machine boots."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from tests.e2e.clusters import eventually
from tests.fakes.frontend_pool import free_ports
from tests.integration.conftest import EmbeddedServer

AWAY = "redis://no-such-host.invalid:6379/0"


@contextlib.contextmanager
def server(*words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "clipper.daemon", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()  # a supervisor takes its workers along
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=20)
        process.kill()


def status(url: str) -> int:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(url, timeout=5).status_code
    return 0


def frontend(url: str, port: int, workers: int = 1) -> list[str]:
    rpc_port = free_ports(workers)[0]
    words = ["query-frontend", "--redis-url", url, "--port", str(port)]
    return [*words, "--rpc-port", str(rpc_port), "--workers", str(workers)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_query_frontend_says_that_it_lives_and_why_it_is_not_ready(workers: int) -> None:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with server(*frontend(AWAY, port, workers)) as process:
        eventually(lambda: status(f"{url}/livez") == 200, "it lives")
        ready = requests.get(f"{url}/readyz", timeout=5)
        assert ready.status_code == 503
        assert ready.json()["ready"] is False
        assert "no-such-host.invalid:6379/0 did not answer" in ready.json()["reason"]
        predict = requests.post(f"{url}/app/predict", json={"input": [1.0]}, timeout=5)
        assert predict.status_code == 503
        assert predict.json()["error"] == "The query frontend is starting"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_query_frontend_serves_once_the_store_is_there(embedded_server: EmbeddedServer) -> None:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    embedded_server.kill()
    with server(*frontend(embedded_server.url, port)), requests.Session() as session:
        eventually(lambda: status(f"{url}/livez") == 200, "it lives")
        assert session.get(f"{url}/readyz", timeout=5).status_code == 503
        embedded_server.start()
        # The connection of before serves on.
        eventually(lambda: session.get(f"{url}/readyz", timeout=5).status_code == 200, "ready")
        assert session.get(f"{url}/readyz", timeout=5).json() == {"ready": True}
        answer = session.post(f"{url}/app/predict", json={"input": [1.0]}, timeout=5)
        assert answer.status_code == 404


def test_a_management_frontend_answers_its_ping(embedded_server: EmbeddedServer) -> None:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    embedded_server.kill()
    words = ["--redis-url", embedded_server.url, "--port", str(port)]
    with server("management-frontend", *words):
        eventually(lambda: status(f"{url}/livez") == 200, "it lives")
        assert requests.get(f"{url}/admin/ping", timeout=5).text == "PONG"
        ready = requests.get(f"{url}/readyz", timeout=5)
        assert ready.status_code == 503
        assert "did not answer" in ready.text
        embedded_server.start()
        eventually(lambda: status(f"{url}/readyz") == 200, "ready")


def test_a_taken_management_port_is_named_with_the_next_step() -> None:
    [port] = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        ended = subprocess.run(
            [sys.executable, "-m", "clipper.daemon", "management-frontend", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert f"Port {port} on 127.0.0.1 cannot be used: Address already in use" in ended.stderr
    assert "choose another port with --port" in ended.stderr


def test_a_successor_leaves_the_shared_port_to_those_who_serve() -> None:
    port, rpc_port = free_ports(1)[0], free_ports(1)[0]
    words = ["--redis-url", AWAY, "--port", str(port), "--rpc-port", str(rpc_port)]
    with server("query-frontend-worker", *words, "--index", "0", "--restarted") as process:
        assert process.stderr is not None
        log = ""
        while log.count("waiting for the configuration store") < 3:
            log += process.stderr.readline()
            assert process.poll() is None, log
        assert status(f"http://127.0.0.1:{port}/livez") == 0
