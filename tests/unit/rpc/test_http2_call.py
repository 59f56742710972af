"""The client's side of gRPC over HTTP/2, against our server's side, frame by frame."""

from __future__ import annotations

from typing import Any

import hpack
import pytest

from clipper.rpc import frames as wire
from clipper.rpc.endpoint import GrpcStream
from clipper.rpc.frames import Http2Error, frame
from clipper.rpc.http2 import Http2Connection
from clipper.rpc.http2_call import Http2Call

PATH = "/clipper.v1.ModelContainerService/Connect"


class Handler:
    """Records what it is told."""

    busy = False
    max_message_bytes = 64 << 20

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.half_closes = 0
        self.reasons: list[str] = []

    def message(self, data: bytes) -> None:
        self.messages.append(data)

    def half_closed(self) -> None:
        self.half_closes += 1

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)


class Pair:
    """A call and the server that it is made to, joined by two wires."""

    def __init__(self) -> None:
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.client, self.server = Handler(), Handler()
        self.paths: list[str] = []
        self.stream: GrpcStream
        self.connection = Http2Connection(self.to_client.append, self._accept, "client:1")
        self.call = Http2Call(self.to_server.append, "server:7000", PATH, self.client)
        self.carry()

    def _accept(self, stream: GrpcStream, path: str) -> Handler:
        self.stream = stream
        self.paths.append(path)
        return self.server

    def carry(self) -> None:
        """Deliver everything, as often as that makes more."""
        while self.to_server or self.to_client:
            up, down = b"".join(self.to_server), b"".join(self.to_client)
            self.to_server.clear()
            self.to_client.clear()
            self.connection.feed(up)
            self.call.feed(down)


def test_a_call_begins_at_once_and_names_its_method() -> None:
    pair = Pair()

    assert pair.paths == [PATH]
    assert pair.stream.peer == "client:1"
    assert pair.client.reasons == []


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 70_000, 40 << 20])
def test_messages_of_any_size_go_both_ways(size: int) -> None:
    pair = Pair()
    data = bytes(size)
    for _ in range(2):
        pair.call.stream.send(data)
        pair.stream.send(data)
        pair.carry()

    assert pair.server.messages == [data, data]
    assert pair.client.messages == [data, data]


def test_the_client_ends_its_half_behind_what_it_sent_and_still_hears() -> None:
    pair = Pair()
    pair.call.stream.send(bytes(200_000))
    pair.call.stream.close_sending()
    pair.call.stream.send(b"too late")
    pair.carry()
    assert [len(message) for message in pair.server.messages] == [200_000]
    assert pair.server.half_closes == 1

    pair.stream.send(b"last words")
    pair.stream.finish()
    pair.carry()
    assert pair.client.messages == [b"last words"]
    assert pair.client.reasons == ["closed by the server"]


def test_a_status_of_the_server_is_told() -> None:
    pair = Pair()
    pair.stream.finish(wire.RESOURCE_EXHAUSTED, "too much of it")
    pair.carry()

    assert pair.client.reasons == ["status 8 too much of it"]


def test_another_http_status_ends_the_call() -> None:
    pair = Pair()
    block = hpack.Encoder().encode([(":status", "502"), ("content-type", "text/html")])
    pair.call.feed(frame(wire.HEADERS, wire.END_HEADERS, 1, block))

    assert pair.client.reasons == ["the server answered with HTTP status 502"]


def test_streams_that_nobody_opened_break_the_protocol() -> None:
    for kind in (wire.HEADERS, wire.DATA):
        pair = Pair()
        with pytest.raises(Http2Error):
            pair.call.feed(frame(kind, wire.END_HEADERS, 3, b"\x88"))


@pytest.mark.parametrize("size", [0, 1, 126, 127, 254, 255, 300, 5000])
def test_strings_of_headers_are_encoded_as_hpack_reads_them(size: int) -> None:
    value = b"v" * size
    block = wire.literal_header(b"name", value) + wire.indexed_header(31, value)
    decoded: list[Any] = list(hpack.Decoder().decode(block, raw=True))

    assert decoded == [(b"name", value), (b"content-type", value)]
