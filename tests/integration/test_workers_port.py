"""Who may bind a claimed port: the kernel's rules that the supervisor relies on."""

from __future__ import annotations

import contextlib
import socket

import pytest

from clipper.errors import ClipperException
from clipper.frontend.port_claim import claim_shared_port, require_free_port
from tests.fakes.frontend_pool import free_ports

HOST = "127.0.0.1"


def _join(port: int) -> socket.socket:
    """Listen as a worker does."""
    worker = socket.socket()
    worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    worker.bind((HOST, port))
    worker.listen()
    return worker


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("host", [HOST, "0.0.0.0"])
def test_a_claim_excludes_others_whether_workers_listen_or_not(workers: int, host: str) -> None:
    [port] = free_ports(1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(claim_shared_port(HOST, port, "--port"))
        for _ in range(workers):
            stack.enter_context(_join(port))
        for attempt in (claim_shared_port, require_free_port):
            with pytest.raises(ClipperException, match=rf"Port {port} on .* with --port\."):
                attempt(host, port, "--port")


def test_a_claim_receives_no_connection() -> None:
    [port] = free_ports(1)
    with claim_shared_port(HOST, port, "--port"), _join(port) as one, _join(port) as two:
        for _ in range(50):
            socket.create_connection((HOST, port), 2.0).close()
        one.setblocking(False)
        two.setblocking(False)
        assert _accepted(one) + _accepted(two) == 50


def _accepted(listener: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


def test_connections_of_an_earlier_run_in_time_wait_do_not_matter() -> None:
    [port] = free_ports(1)
    with (
        claim_shared_port(HOST, port, "--port"),
        _join(port) as worker,
        socket.create_connection((HOST, port), 2.0) as client,
    ):
        worker.accept()[0].close()
        assert client.recv(1) == b""
    with claim_shared_port(HOST, port, "--port"), _join(port):
        pass


def test_a_released_claim_leaves_the_port_free() -> None:
    [port] = free_ports(1)
    claim_shared_port(HOST, port, "--port").close()
    require_free_port(HOST, port, "--port")


def test_a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(ClipperException, match=r"192\.0\.2\.1 cannot be used: Cannot assign"):
        require_free_port("192.0.2.1", 1337, "--port")
