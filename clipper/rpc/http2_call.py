"""The client's side of gRPC over HTTP/2: a model container's one call to a frontend worker."""

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

_DEFAULT_WINDOW = 65_535
_CALL = 1
"""Number of the only stream."""
_POST_HTTP = b"\x83\x86"
""":method POST and :scheme http, by their places in the static table."""


class Http2Call(Http2Endpoint):
    """One bidirectional call on a connection of its own."""

    def __init__(
        self, write: Callable[[bytes], None], peer: str, path: str, handler: StreamHandler
    ) -> None:
        """Begin the call.

        Args:
            write: sends bytes.
            peer: the server's address, host:port.
            path: of the method.
            handler: hears of what the server sends. `StreamHandler.half_closed` is never called:
                a call that the server ends is `StreamHandler.lost`, with the server's status.
        """
        super().__init__(write, peer)
        self._highest_stream = _CALL
        self.stream = self.streams[_CALL] = GrpcStream(self, _CALL, self._stream_window)
        self.stream.handler = handler
        settings = wire.settings(
            (wire.ENABLE_PUSH, 0),
            (wire.INITIAL_WINDOW_SIZE, OUR_WINDOW),
            (wire.MAX_FRAME_SIZE, OUR_MAX_FRAME),
        )
        grown = wire.NUMBER.pack(OUR_WINDOW - _DEFAULT_WINDOW)
        headers = _POST_HTTP + b"".join(
            [
                wire.indexed_header(4, path.encode()),  # :path
                wire.indexed_header(1, peer.encode()),  # :authority
                wire.indexed_header(31, b"application/grpc"),  # content-type
                wire.literal_header(b"te", b"trailers"),
            ]
        )
        write(
            wire.PREFACE
            + settings
            + frame(wire.WINDOW_UPDATE, 0, 0, grown)
            + frame(wire.HEADERS, wire.END_HEADERS, _CALL, headers)
        )

    def _half_ended(self, stream: GrpcStream) -> None:
        """The server's half goes on until its trailers."""

    def _take_headers(self, number: int, headers: dict[bytes, bytes], ends: bool) -> None:
        stream = self.streams.get(number)
        if stream is None:
            if number != _CALL:
                raise Http2Error(wire.PROTOCOL_ERROR, f"headers on stream {number}, not ours")
            return
        status = headers.get(b":status", b"200").decode("latin-1")
        if status != "200":
            del self.streams[number]
            stream.lose(f"the server answered with HTTP status {status}")
        elif ends:
            del self.streams[number]
            code = headers.get(b"grpc-status", b"0").decode("latin-1")
            text = headers.get(b"grpc-message", b"").decode("latin-1")
            stream.lose(f"status {code} {text}".strip() if code != "0" else "closed by the server")
