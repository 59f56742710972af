"""A gRPC client made of frames by hand, on one `Http2Connection` without a socket."""

from __future__ import annotations

from typing import Any, NamedTuple

import hpack
import pytest

from clipper.rpc import frames as wire
from clipper.rpc.endpoint import GrpcStream
from clipper.rpc.frames import Http2Error, frame
from clipper.rpc.http2 import Http2Connection

PATH = "/service/Method"
HEADERS = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", PATH.encode()),
    (b":authority", b"here"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]
OUR_WINDOW = 16 << 20
"""Bytes that the server takes before it grants more."""
GREETING = wire.PREFACE + frame(wire.SETTINGS, 0, 0, b"")


class Frame(NamedTuple):
    """One frame that came from the server."""

    kind: int
    flags: int
    number: int
    payload: bytes


def message(data: bytes, compressed: int = 0) -> bytes:
    """A gRPC message with its prefix."""
    return wire.MESSAGE.pack(compressed, len(data)) + data


def data_frame(number: int, payload: bytes, flags: int = 0) -> bytes:
    return frame(wire.DATA, flags, number, payload)


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(wire.SETTINGS, 0, 0, b"".join(wire.SETTING.pack(*pair) for pair in pairs))


def window(number: int, grown: int) -> bytes:
    return frame(wire.WINDOW_UPDATE, 0, number, wire.NUMBER.pack(grown))


def reset(number: int) -> bytes:
    return frame(wire.RST_STREAM, 0, number, wire.NUMBER.pack(8))


class Handler:
    """Records what it is told; nothing may come after `lost` or after it finished."""

    def __init__(self, stream: GrpcStream, events: list[Any], limit: int) -> None:
        self.stream = stream
        self.max_message_bytes = limit
        self.ended = False
        self.finish_at: bytes | None = None
        """Ends the call from within the message that equals this."""
        self.echo = False
        self._events = events

    def message(self, data: bytes) -> None:
        self._tell("message", data)
        if self.echo:
            self.stream.send(data)
        if data == self.finish_at:
            self.ended = True
            self.stream.finish()

    def half_closed(self) -> None:
        self._tell("half closed")

    def lost(self, reason: str) -> None:
        self._tell("lost", reason)
        self.ended = True

    def _tell(self, *event: Any) -> None:
        assert not self.ended, f"{event} after the end"
        self._events.append((self.stream.number, *event))


class Client:
    """The far end of a connection."""

    def __init__(self, greet: bool = True, limit: int = 1 << 20) -> None:
        self.events: list[Any] = []
        self.handlers: dict[int, Handler] = {}
        self.limit = limit
        self.finish_at: bytes | None = None
        self.echo = False
        self._written = bytearray()
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self.connection = Http2Connection(self._written.extend, self._accept, "test")
        if greet:
            self.connection.feed(GREETING)
            self.frames()

    def _accept(self, stream: GrpcStream, path: str) -> Handler | None:
        if path != PATH:
            return None
        handler = self.handlers[stream.number] = Handler(stream, self.events, self.limit)
        handler.finish_at = self.finish_at
        handler.echo = self.echo
        return handler

    def feed(self, *parts: bytes) -> None:
        self.connection.feed(b"".join(parts))

    def head(self, number: int = 1, flags: int = wire.END_HEADERS) -> bytes:
        """The frame that begins a call."""
        return frame(wire.HEADERS, flags, number, self.block())

    def block(self, **changes: bytes) -> bytes:
        """The headers of a call; ``changes`` replace some (``content_type=...``)."""
        names = {name.replace("_", "-").encode(): value for name, value in changes.items()}
        headers = [(k, names.get(k.lstrip(b":"), v)) for k, v in HEADERS]
        return bytes(self._encoder.encode(headers))

    def call(self, number: int = 1) -> Handler:
        """Begin a call and forget what the server said to it."""
        self.feed(self.head(number))
        self.frames()
        return self.handlers[number]

    def frames(self) -> list[Frame]:
        """Return what the server has written since the last time."""
        frames = []
        at = 0
        while at < len(self._written):
            high, low, kind, flags, number = wire.FRAME.unpack_from(self._written, at)
            end = at + wire.FRAME.size + (high << 8 | low)
            assert end <= len(self._written), "half a frame was written"
            payload = bytes(self._written[at + wire.FRAME.size : end])
            frames.append(Frame(kind, flags, number, payload))
            at = end
        self._written.clear()
        return frames

    def headers(self, block: bytes) -> dict[bytes, bytes]:
        return dict(self._decoder.decode(block, raw=True))

    def data(self, number: int = 1) -> bytes:
        """Return the data that was written on a stream since the last time."""
        return b"".join(f.payload for f in self.frames() if (f.kind, f.number) == (0, number))


def fails(client: Client, *parts: bytes) -> int:
    """Feed what breaks the protocol; return the code that the client was told."""
    with pytest.raises(Http2Error) as caught:
        client.feed(*parts)
    *_, last = client.frames()
    assert (last.kind, last.number) == (wire.GOAWAY, 0)
    assert len(last.payload) < 200
    _, code = wire.NUMBER.iter_unpack(last.payload[:8])
    assert code[0] == caught.value.code
    assert client.connection.ended
    client.feed(GREETING, client.head(99))
    assert client.frames() == [], "it goes on after a fault"
    return int(code[0])
