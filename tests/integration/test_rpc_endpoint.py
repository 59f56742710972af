"""The frontends' gRPC endpoint, on the event loop that workers use, and gRPC's own client."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import grpc
import pytest
import uvloop

from clipper.clock import LoopClock
from clipper.replicas import service
from clipper.replicas.service import RpcServer
from clipper.replicas.session import RpcSettings
from clipper.rpc import channel
from clipper.rpc import frames as wire
from clipper.rpc.frames import frame
from clipper.rpc.http2 import GrpcStream
from tests.fakes.grpc_options import client_options

NO_SIGN_OF_LIFE_S = channel.KEEPALIVE_INTERVAL_S + channel.KEEPALIVE_TIMEOUT_S
SIZES = [0, 1, 100_000, 20_000_000, 3]
GREETING = wire.PREFACE + frame(wire.SETTINGS, 0, 0, b"")


class Echo:
    """Sends every message back, and ends the call when the client ended its half."""

    max_message_bytes = 64 << 20
    busy = False

    def __init__(self, stream: GrpcStream, losses: queue.SimpleQueue[str]) -> None:
        self._stream = stream
        self._losses = losses

    def message(self, data: bytes) -> None:
        self._stream.send(data)

    def half_closed(self) -> None:
        self._stream.finish()

    def lost(self, reason: str) -> None:
        self._losses.put(reason)


class EchoServer(RpcServer):
    """The endpoint with other calls than a container's."""

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(cast("Any", None), RpcSettings(port=port), LoopClock(loop))
        self.losses: queue.SimpleQueue[str] = queue.SimpleQueue()

    def _accept(self, stream: GrpcStream, path: str) -> Echo | None:
        return Echo(stream, self.losses) if path == channel.CONNECT_METHOD else None


class Endpoint:
    """An `EchoServer` on a thread of its own."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.server = self.open()

    def open(self, port: int = 0) -> EchoServer:
        server = EchoServer(port, self.loop)
        self.run(server.start())
        return server

    def run(self, work: Any, timeout_s: float = 20.0) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.server.port)

    def lost(self) -> str:
        """Wait until a stream is lost; return why."""
        return self.server.losses.get(timeout=20)

    def close(self) -> None:
        self.run(self.server.stop(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        self.loop.close()


class Call:
    """One call of gRPC's client."""

    def __init__(self, to: grpc.Channel, method: str = channel.CONNECT_METHOD) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        connect = to.stream_stream(method, None, None)
        self.replies: Any = connect(iter(self._requests.get, None), timeout=30)

    def send(self, data: bytes) -> None:
        self._requests.put(data)

    def ask(self, data: bytes) -> bytes:
        self.send(data)
        return cast("bytes", next(self.replies))

    def end(self) -> None:
        self._requests.put(None)

    def status(self) -> grpc.StatusCode:
        """Read to the end; return how the call ended."""
        with contextlib.suppress(grpc.RpcError):
            for _ in self.replies:
                pass
        return cast("grpc.StatusCode", self.replies.code())


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    opened = Endpoint()
    yield opened
    opened.close()


@pytest.fixture
def dialled(endpoint: Endpoint) -> Iterator[grpc.Channel]:
    """A channel such as a container's."""
    host, port = endpoint.address
    with grpc.insecure_channel(f"{host}:{port}", options=client_options()) as opened:
        yield opened


def data_of(size: int) -> bytes:
    return (b"0123456789abcdefghijklm" * (size // 23 + 1))[:size]


def refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=20).close()
    except ConnectionError:
        return True
    return False


def cannot_send(sock: socket.socket, data: bytes) -> bool:
    try:
        sock.sendall(data)
    except ConnectionError:
        return True
    return False


def until_closed(sock: socket.socket) -> float:
    """Read until the server is gone; return after how many seconds."""
    started_s = time.monotonic()
    sock.settimeout(20)
    with sock, contextlib.suppress(ConnectionError):
        while sock.recv(1 << 16):
            pass
    return time.monotonic() - started_s


def test_messages_of_all_sizes_both_ways(dialled: grpc.Channel) -> None:
    call = Call(dialled)
    for size in SIZES:
        assert call.ask(data_of(size)) == data_of(size)

    for size in SIZES:
        call.send(data_of(size))
    call.end()
    assert [len(reply) for reply in call.replies] == SIZES
    assert call.status() is grpc.StatusCode.OK


def test_calls_of_one_connection_do_not_mix(dialled: grpc.Channel) -> None:
    calls = [Call(dialled) for _ in range(4)]
    for number, call in enumerate(calls):
        for _ in range(5):
            call.send(b"%d" % number * 300_000)
        call.end()

    for number, call in enumerate(calls):
        assert list(call.replies) == [b"%d" % number * 300_000] * 5


@pytest.mark.parametrize("options", [client_options(), []], ids=["ours", "defaults"])
def test_an_idle_connection_lives(endpoint: Endpoint, options: channel.ChannelOptions) -> None:
    host, port = endpoint.address
    with grpc.insecure_channel(f"{host}:{port}", options=options) as dialled:
        call = Call(dialled)
        assert call.ask(b"before") == b"before"
        time.sleep(NO_SIGN_OF_LIFE_S + 1.0)  # the silence is what is tested
        assert call.ask(b"after") == b"after"


def test_an_unknown_method_is_unimplemented(dialled: grpc.Channel) -> None:
    call = Call(dialled, "/clipper.v1.ModelContainerService/Other")
    assert call.status() is grpc.StatusCode.UNIMPLEMENTED
    assert "there is no method" in call.replies.details()
    assert Call(dialled).ask(b"x") == b"x"


def test_a_message_over_the_limit_is_told_so(
    dialled: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Echo, "max_message_bytes", 1000)
    call = Call(dialled)
    call.send(bytes(1001))
    assert call.status() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than the limit of 1000" in call.replies.details()


def test_compression_is_declined(endpoint: Endpoint) -> None:
    host, port = endpoint.address
    compressing = grpc.insecure_channel(f"{host}:{port}", compression=grpc.Compression.Gzip)
    with compressing as dialled:
        call = Call(dialled)
        call.send(bytes(10_000))
        assert call.status() is grpc.StatusCode.UNIMPLEMENTED


def test_a_cancelled_call_is_lost(endpoint: Endpoint, dialled: grpc.Channel) -> None:
    call = Call(dialled)
    call.ask(b"x")
    call.replies.cancel()
    assert endpoint.lost() == "the other side reset the stream"


def test_a_closed_channel_loses_its_calls(endpoint: Endpoint) -> None:
    host, port = endpoint.address
    dialled = grpc.insecure_channel(f"{host}:{port}")
    Call(dialled).ask(b"x")
    dialled.close()
    assert endpoint.lost()


def test_a_server_that_stops_lets_calls_end(endpoint: Endpoint, dialled: grpc.Channel) -> None:
    call = Call(dialled)
    call.ask(b"before")
    stopping = asyncio.run_coroutine_threadsafe(endpoint.server.stop(10.0), endpoint.loop)
    while not refused(endpoint.address):
        pass
    assert call.ask(b"still") == b"still"

    call.end()
    assert call.status() is grpc.StatusCode.OK
    stopping.result(5)


def test_a_server_that_stops_does_not_wait_for_ever(
    endpoint: Endpoint, dialled: grpc.Channel
) -> None:
    call = Call(dialled)
    call.ask(b"before")
    endpoint.run(endpoint.server.stop(0.1), timeout_s=5)
    assert call.status() is grpc.StatusCode.UNAVAILABLE
    assert endpoint.lost() == "the connection was lost"


@pytest.mark.parametrize("said", [b"", wire.PREFACE[:7], GREETING], ids=["none", "some", "all"])
def test_who_shows_no_sign_of_life_is_dropped(endpoint: Endpoint, said: bytes) -> None:
    silent = socket.create_connection(endpoint.address)
    silent.sendall(said)
    took_s = until_closed(silent)
    assert 0.9 * NO_SIGN_OF_LIFE_S < took_s < NO_SIGN_OF_LIFE_S + 3.0


def test_another_protocol_is_shown_the_door(endpoint: Endpoint) -> None:
    stranger = socket.create_connection(endpoint.address)
    stranger.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert until_closed(stranger) < NO_SIGN_OF_LIFE_S


def test_who_asks_for_answers_and_reads_none_is_dropped(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_MOST_UNSENT_BYTES", 1 << 20)
    flood = frame(wire.PING, 0, 0, b"12345678") * 10_000
    with socket.create_connection(endpoint.address, timeout=20) as stranger:
        stranger.sendall(GREETING)
        assert any(cannot_send(stranger, flood) for _ in range(1_000))


def test_a_port_belongs_to_one_server(endpoint: Endpoint, dialled: grpc.Channel) -> None:
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{endpoint.server.port}"):
        endpoint.open(endpoint.server.port)
    assert Call(dialled).ask(b"x") == b"x"


def test_a_port_is_free_when_its_server_has_stopped(endpoint: Endpoint) -> None:
    port = endpoint.server.port
    endpoint.run(endpoint.server.stop(0))
    endpoint.server = endpoint.open(port)
    host, _ = endpoint.address
    with grpc.insecure_channel(f"{host}:{port}") as dialled:
        assert Call(dialled).ask(b"x") == b"x"
