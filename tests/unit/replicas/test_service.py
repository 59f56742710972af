"""When a container's connection is given up; time is virtual and nothing listens."""

from __future__ import annotations

import asyncio
import types
from typing import Any, cast

import pytest

from clipper.replicas import service
from clipper.replicas.service import RpcServer
from clipper.replicas.session import RpcSettings
from clipper.rpc import channel
from clipper.rpc import frames as wire
from clipper.rpc.endpoint import GrpcStream
from clipper.rpc.frames import frame
from tests.fakes.virtual_clock import VirtualClock

PONG = frame(wire.PING, wire.ACK, 0, b"clipper.")
GREETING = wire.PREFACE + frame(wire.SETTINGS, 0, 0, b"")
LATEST_S = channel.KEEPALIVE_INTERVAL_S + channel.KEEPALIVE_TIMEOUT_S + 0.5


class StoppableClock(VirtualClock):
    """A clock whose process can be away for a while."""

    def stall(self, away_s: float) -> None:
        """Let time pass without running anything."""
        self._now_s += away_s


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.pings = 0
        self.aborted = False
        self.closed = False
        self.unsent_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pings += bytes(data).endswith(b"clipper.")

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else ("10.0.0.1", 5)

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self.probed = True

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes


class Dialled:
    """One container's connection to a server that looks after it."""

    def __init__(self) -> None:
        self.clock = StoppableClock()
        server = RpcServer(cast("Any", None), RpcSettings(), self.clock)
        self.transport = Transport()
        self.connection = server._connect()
        self.connection.connection_made(self.transport)

    def hear(self, data: bytes = PONG) -> None:
        self.connection.data_received(data)


def test_a_silent_container_is_pinged_and_then_given_up() -> None:
    dialled = Dialled()
    dialled.hear(GREETING)
    dialled.clock.advance(channel.KEEPALIVE_INTERVAL_S - 0.3)
    assert dialled.transport.pings == 0
    dialled.clock.advance(0.5)
    assert dialled.transport.pings == 1
    assert not dialled.transport.aborted

    dialled.clock.advance(LATEST_S)
    assert dialled.transport.pings == 1
    assert dialled.transport.aborted


def test_a_silent_container_that_computes_has_a_minute() -> None:
    dialled = Dialled()
    dialled.hear(GREETING)
    stream = GrpcStream(dialled.connection.http2, 1, 0)
    stream.handler = cast("Any", types.SimpleNamespace(busy=True, lost=lambda reason: None))
    dialled.connection.http2.streams[1] = stream
    dialled.clock.advance(channel.BUSY_TIMEOUT_S)
    assert dialled.transport.pings == 1
    assert not dialled.transport.aborted

    dialled.clock.advance(LATEST_S)
    assert dialled.transport.aborted


def test_any_byte_is_a_sign_of_life() -> None:
    dialled = Dialled()
    dialled.hear(GREETING)
    for byte in PONG * 3:
        dialled.clock.advance(channel.KEEPALIVE_INTERVAL_S + 0.6)
        dialled.hear(bytes([byte]))

    assert not dialled.transport.aborted


def test_a_worker_that_was_away_judges_nobody_by_it() -> None:
    dialled = Dialled()
    dialled.hear(GREETING)
    dialled.clock.advance(channel.KEEPALIVE_INTERVAL_S + 0.3)
    dialled.clock.stall(60.0)
    dialled.clock.settle()
    assert not dialled.transport.aborted

    dialled.hear()
    dialled.clock.advance(1.0)
    assert not dialled.transport.aborted


def test_a_container_that_is_away_longer_than_the_worker_is_given_up() -> None:
    dialled = Dialled()
    dialled.clock.advance(channel.KEEPALIVE_INTERVAL_S + 0.3)
    dialled.clock.stall(60.0)
    dialled.clock.advance(LATEST_S)

    assert dialled.transport.aborted


def test_a_lost_connection_is_looked_at_no_more() -> None:
    dialled = Dialled()
    dialled.connection.connection_lost(None)
    dialled.clock.advance(60.0)

    assert dialled.transport.pings == 0


def test_what_breaks_the_protocol_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    dialled = Dialled()
    dialled.hear(b"GET / HTTP/1.1\r\n\r\n")

    assert dialled.transport.closed
    assert "10.0.0.1:5 does not speak the protocol: not HTTP/2" in caplog.text


def test_who_reads_nothing_of_what_it_asks_for_is_given_up() -> None:
    dialled = Dialled()
    dialled.hear(GREETING)
    dialled.transport.unsent_bytes = service._MOST_UNSENT_BYTES
    dialled.hear()
    assert not dialled.transport.aborted

    dialled.transport.unsent_bytes += 1
    dialled.hear()
    assert dialled.transport.aborted
