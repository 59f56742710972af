"""The server's side of gRPC over HTTP/2: a frontend's connection from a model container."""

from __future__ import annotations

from collections.abc import Callable

from clipper.rpc import frames as wire
from clipper.rpc.endpoint import (
    OUR_MAX_FRAME,
    OUR_WINDOW,
    GrpcStream,
    Http2Endpoint,
    StreamHandler,
)
from clipper.rpc.frames import Http2Error, frame

_MOST_STREAMS = 16
"""Streams of one connection: a container needs one."""
_DEFAULT_WINDOW = 65_535

_RESPONSE_HEAD = b"\x88\x0f\x10\x10application/grpc"
""":status 200 by its place in the static table, and a content-type that enters no table."""


class Http2Connection(Http2Endpoint):
    """One client's connection."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        accept: Callable[[GrpcStream, str], StreamHandler | None],
        peer: str,
    ) -> None:
        """Begin a connection.

        Args:
            write: sends bytes.
            accept: called with each new stream and the path of its method; returns its handler,
                or None for a method that does not exist.
            peer: the client's address.
        """
        super().__init__(write, peer)
        self._accept = accept
        self._greeted = False
        self._going_away = False
        settings = wire.settings(
            (wire.MAX_CONCURRENT_STREAMS, _MOST_STREAMS),
            (wire.INITIAL_WINDOW_SIZE, OUR_WINDOW),
            (wire.MAX_FRAME_SIZE, OUR_MAX_FRAME),
        )
        grown = wire.NUMBER.pack(OUR_WINDOW - _DEFAULT_WINDOW)
        write(settings + frame(wire.WINDOW_UPDATE, 0, 0, grown))

    def go_away(self) -> None:
        """Take no new streams; those that are there go on."""
        self._going_away = True
        self._write(frame(wire.GOAWAY, 0, 0, wire.NUMBER.pack(self._highest_stream) + b"\0\0\0\0"))

    def _greeting(self, data: bytes) -> int | None:
        if self._greeted:
            return 0
        if not wire.PREFACE.startswith(data[: len(wire.PREFACE)]):
            raise Http2Error(wire.PROTOCOL_ERROR, "not HTTP/2")
        if len(data) < len(wire.PREFACE):
            return None
        self._greeted = True
        return len(wire.PREFACE)

    def _half_ended(self, stream: GrpcStream) -> None:
        del self.streams[stream.number]
        if not stream.half_closed:
            self._reset(stream.number, wire.NO_ERROR)

    def _take_headers(self, number: int, headers: dict[bytes, bytes], ends: bool) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            # Trailers, which gRPC's clients do not send; they end the stream like any others.
            self._half_close(stream)
            return
        if number % 2 == 0 or number <= self._highest_stream:
            raise Http2Error(wire.PROTOCOL_ERROR, f"stream {number} cannot begin")
        self._highest_stream = number
        if self._going_away or len(self.streams) >= _MOST_STREAMS:
            self._reset(number, wire.REFUSED_STREAM)
            return
        self._begin(number, headers, ends)

    def _begin(self, number: int, headers: dict[bytes, bytes], ends: bool) -> None:
        stream = self.streams[number] = GrpcStream(self, number, self._stream_window)
        self._write(frame(wire.HEADERS, wire.END_HEADERS, number, _RESPONSE_HEAD))
        path = headers.get(b":path", b"").decode("latin-1")
        if headers.get(b"content-type", b"").startswith(b"application/grpc"):
            stream.handler = self._accept(stream, path)
        if stream.handler is None and stream.last_frame is None:
            stream.finish(wire.UNIMPLEMENTED, f"there is no method {path}")
        elif ends:
            self._half_close(stream)

    def _give_up(self, stream: GrpcStream, status: int, text: str) -> None:
        handler = stream.handler
        stream.received.clear()
        stream.finish(status, text)
        if handler is not None:
            handler.lost(text)
