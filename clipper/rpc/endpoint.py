"""gRPC over HTTP/2, as much of RFC 9113 as bidirectional streams need: what both sides share.

gRPC's own Python library hands every message through three threads, which costs a frontend more
than all else that it does for a small batch, and makes a container's model wait for the
interpreter's lock. Here a message is a call. Sans I/O: bytes come in through `Http2Endpoint.feed`,
go out through a function, and nothing waits. Header blocks are decoded by the hpack library; what
is sent needs no compression state.

Compressed messages, server push and HTTP/1.1 upgrades are not supported, and no gRPC client asks
for them by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import hpack

from clipper.rpc import frames as wire
from clipper.rpc.frames import Http2Error, frame

OUR_WINDOW = 16 << 20
OUR_MAX_FRAME = 256 << 10
_DEFAULT_WINDOW = 65_535
_DEFAULT_MAX_FRAME = 16_384
_LARGEST_WINDOW = (1 << 31) - 1
_MOST_HEADER_BYTES = 32 << 10
_COPIED_BYTES = 32 << 10
"""Up to here one write of a copy is cheaper than two writes."""


class StreamHandler(Protocol):
    """Who is told what comes in on one stream. Nothing is called after `lost`."""

    max_message_bytes: int
    """A larger message ends the stream. Read at each message, so it may change."""

    @property
    def busy(self) -> bool:
        """Whether the other side may be unable to answer pings for good reason."""

    def message(self, data: bytes) -> None:
        """A whole message came."""

    def half_closed(self) -> None:
        """The client sends nothing more."""

    def lost(self, reason: str) -> None:
        """The stream is gone, and nothing can be sent any more."""


class GrpcStream:
    """One call. Made by its endpoint."""

    def __init__(self, endpoint: Http2Endpoint, number: int, window: int) -> None:
        self.number = number
        self.window = window
        """Bytes that the peer is ready to take on this stream."""
        self.received = bytearray()
        """The beginning of a message that is not complete."""
        self.unacknowledged = 0
        self.half_closed = False
        """The peer sends nothing more."""
        self.handler: StreamHandler | None = None
        self.pending: deque[memoryview] = deque()
        """What waits for the window."""
        self.last_frame: bytes | None = None
        """What ends our half once nothing is pending; nothing can be sent behind it."""
        self._endpoint = endpoint

    @property
    def peer(self) -> str:
        """The other side's address, for logs."""
        return self._endpoint.peer

    def send(self, data: bytes) -> None:
        """Send one message; nothing happens when our half has ended."""
        if self.last_frame is None:
            self._endpoint.send_message(self, data)

    def finish(self, status: int = wire.OK, text: str = "") -> None:
        """End the call behind what was sent, as a server. The handler is told nothing more."""
        if self.last_frame is None:
            self.handler = None
            trailers = wire.literal_header(b"grpc-status", b"%d" % status)
            if text:
                trailers += wire.literal_header(b"grpc-message", wire.printable(text))
            self.end_with(
                frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, self.number, trailers)
            )

    def close_sending(self) -> None:
        """Send nothing more, as a client; what the server sends is still heard."""
        if self.last_frame is None:
            self.end_with(frame(wire.DATA, wire.END_STREAM, self.number, b""))

    def end_with(self, last_frame: bytes) -> None:
        """Send ``last_frame`` behind what is pending."""
        self.last_frame = last_frame
        self._endpoint.flush(self)

    def lose(self, reason: str) -> None:
        """Nothing can be sent or heard any more; tell the handler."""
        handler, self.handler = self.handler, None
        self.last_frame = self.last_frame or b""
        self.pending.clear()
        if handler is not None:
            handler.lost(reason)


class Http2Endpoint:
    """One side of one connection, from its first byte to its last."""

    def __init__(self, write: Callable[[bytes], None], peer: str) -> None:
        """``write`` sends bytes; ``peer`` is the other side's address."""
        self.peer = peer
        self.streams: dict[int, GrpcStream] = {}
        self.ended = False
        """After a fault or the connection's end; nothing is read any more."""
        self._write = write
        self._rest = b""
        self._decoder = hpack.Decoder(max_header_list_size=_MOST_HEADER_BYTES)
        self._block: bytes | None = None
        self._block_stream = 0
        self._block_ends_stream = False
        self._highest_stream = 0
        self._window = _DEFAULT_WINDOW
        self._stream_window = _DEFAULT_WINDOW
        self._max_frame = _DEFAULT_MAX_FRAME
        self._unacknowledged = 0

    def feed(self, data: bytes) -> None:
        """Take bytes as they come; handlers are called from here.

        Raises:
            Http2Error: the peer broke the protocol. A GOAWAY was sent; close the connection.
        """
        if self.ended:
            return
        if self._rest:
            data = self._rest + data
        try:
            self._rest = data[self._frames(data) :]
        except Http2Error as fault:
            self.ended = True
            last = wire.NUMBER.pack(self._highest_stream) + wire.NUMBER.pack(fault.code)
            self._write(frame(wire.GOAWAY, 0, 0, last + str(fault).encode()))
            raise

    def ping(self) -> None:
        """Ask the peer for a sign of life, which any byte of it is."""
        self._write(frame(wire.PING, 0, 0, b"clipper."))

    def lost(self, reason: str) -> None:
        """The connection is gone: tell every handler."""
        self.ended = True
        streams = list(self.streams.values())
        self.streams.clear()
        for stream in streams:
            stream.lose(reason)

    def send_message(self, stream: GrpcStream, data: bytes) -> None:
        """Send a message on a stream, or as much of it as the peer will take now."""
        size = len(data) + wire.MESSAGE.size
        prefix = wire.MESSAGE.pack(0, len(data))
        fits = size <= self._window and size <= stream.window and size <= self._max_frame
        if fits and not stream.pending:
            self._window -= size
            stream.window -= size
            head = wire.FRAME.pack(size >> 8, size & 0xFF, wire.DATA, 0, stream.number) + prefix
            if len(data) > _COPIED_BYTES:
                self._write(head)
                self._write(data)
            else:
                self._write(head + data)
            return
        stream.pending.append(memoryview(prefix + data))
        self.flush(stream)

    def flush(self, stream: GrpcStream) -> None:
        """Send what waited for the window, and what ends our half behind it."""
        pending = stream.pending
        while pending:
            data = pending[0]
            size = min(len(data), self._window, stream.window, self._max_frame)
            if size <= 0:
                return
            self._window -= size
            stream.window -= size
            self._write(frame(wire.DATA, 0, stream.number, bytes(data[:size])))
            if size == len(data):
                pending.popleft()
            else:
                pending[0] = data[size:]
        if stream.last_frame and stream.number in self.streams:
            self._write(stream.last_frame)
            stream.last_frame = b""
            self._half_ended(stream)

    def _half_ended(self, stream: GrpcStream) -> None:
        """Our half of a stream was ended."""
        raise NotImplementedError

    def _take_headers(self, number: int, headers: dict[bytes, bytes], ends: bool) -> None:
        """A header block came; with ``ends`` the peer sends nothing behind it."""
        raise NotImplementedError

    def _greeting(self, data: bytes) -> int | None:
        """Return where frames begin; None while the greeting is not complete."""
        return 0

    def _frames(self, data: bytes) -> int:
        """Handle every whole frame; return where the rest begins."""
        at = self._greeting(data)
        if at is None:
            return 0
        end = len(data)
        while end - at >= wire.FRAME.size:
            high, low, kind, flags, number = wire.FRAME.unpack_from(data, at)
            size = high << 8 | low
            if size > OUR_MAX_FRAME:
                raise Http2Error(wire.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            payload_at = at + wire.FRAME.size
            if payload_at + size > end:
                break
            at = payload_at + size
            self._take_frame(kind, flags, number & _LARGEST_WINDOW, data[payload_at:at])
            if self.ended:
                return end
        return at

    def _take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and (kind != wire.CONTINUATION or number != self._block_stream):
            raise Http2Error(wire.PROTOCOL_ERROR, "a header block was interrupted")
        if kind == wire.DATA:
            self._take_data(flags, number, payload)
        elif kind == wire.HEADERS:
            payload = wire.unpadded(flags, payload)
            self._block = payload[5:] if flags & wire.PRIORITY else payload
            self._block_stream = number
            self._block_ends_stream = bool(flags & wire.END_STREAM)
            self._end_block(flags)
        elif kind == wire.CONTINUATION:
            if self._block is None:
                raise Http2Error(wire.PROTOCOL_ERROR, "a continuation of nothing")
            self._block += payload
            self._end_block(flags)
        elif kind == wire.RST_STREAM:
            stream = self.streams.pop(number, None)
            if stream is not None:
                stream.lose("the other side reset the stream")
        elif kind == wire.SETTINGS:
            self._take_settings(flags, payload)
        elif kind == wire.PING:
            if len(payload) != 8:
                raise Http2Error(wire.FRAME_SIZE_ERROR, f"a ping of {len(payload)} bytes")
            if not flags & wire.ACK:
                self._write(frame(wire.PING, wire.ACK, 0, payload))
        elif kind == wire.WINDOW_UPDATE:
            self._take_window(number, payload)

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        stream = self.streams.get(number)
        self._unacknowledged += size
        if self._unacknowledged > OUR_WINDOW // 2:
            self._write(frame(wire.WINDOW_UPDATE, 0, 0, wire.NUMBER.pack(self._unacknowledged)))
            self._unacknowledged = 0
        if stream is None:
            if number > self._highest_stream or number == 0:
                raise Http2Error(wire.PROTOCOL_ERROR, f"data on stream {number}, which never began")
            return
        if stream.half_closed:
            raise Http2Error(wire.PROTOCOL_ERROR, f"data on stream {number} after its end")
        stream.unacknowledged += size
        if stream.unacknowledged > OUR_WINDOW // 2 and not flags & wire.END_STREAM:
            self._write(
                frame(wire.WINDOW_UPDATE, 0, number, wire.NUMBER.pack(stream.unacknowledged))
            )
            stream.unacknowledged = 0
        self._take_messages(stream, wire.unpadded(flags, payload))
        if flags & wire.END_STREAM:
            self._half_close(stream)

    def _take_messages(self, stream: GrpcStream, payload: bytes) -> None:
        buffer = stream.received
        if not buffer and stream.handler is not None and len(payload) >= wire.MESSAGE.size:
            compressed, size = wire.MESSAGE.unpack_from(payload)
            whole = size == len(payload) - wire.MESSAGE.size and not compressed
            if whole and size <= stream.handler.max_message_bytes:
                stream.handler.message(payload[wire.MESSAGE.size :])
                return
        buffer += payload
        at = 0
        while stream.handler is not None and len(buffer) - at >= wire.MESSAGE.size:
            compressed, size = wire.MESSAGE.unpack_from(buffer, at)
            if compressed:
                self._give_up(stream, wire.UNIMPLEMENTED, "compressed messages are not supported")
                return
            limit = stream.handler.max_message_bytes
            if size > limit:
                text = f"a message of {size} bytes is larger than the limit of {limit}"
                self._give_up(stream, wire.RESOURCE_EXHAUSTED, text)
                return
            start = at + wire.MESSAGE.size
            if len(buffer) - start < size:
                break
            at = start + size
            stream.handler.message(bytes(buffer[start:at]))
        if stream.handler is None:
            buffer.clear()
        elif at:
            del buffer[:at]

    def _half_close(self, stream: GrpcStream) -> None:
        stream.half_closed = True
        if stream.handler is not None:
            stream.handler.half_closed()

    def _give_up(self, stream: GrpcStream, status: int, text: str) -> None:
        """The peer sent what cannot be taken: end the stream."""
        self.streams.pop(stream.number, None)
        stream.received.clear()
        self._reset(stream.number, wire.NO_ERROR)
        stream.lose(text)

    def _end_block(self, flags: int) -> None:
        block = self._block or b""
        if len(block) > _MOST_HEADER_BYTES:
            raise Http2Error(wire.ENHANCE_YOUR_CALM, "headers are too large")
        if not flags & wire.END_HEADERS:
            return
        self._block = None
        try:
            headers = dict(self._decoder.decode(block, raw=True))
        except hpack.HPACKError as error:
            # Its text may hold the whole block, which belongs neither in a log nor in a GOAWAY.
            raise Http2Error(wire.COMPRESSION_ERROR, "headers cannot be decoded") from error
        self._take_headers(self._block_stream, headers, self._block_ends_stream)

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & wire.ACK:
            return
        if len(payload) % wire.SETTING.size:
            raise Http2Error(wire.FRAME_SIZE_ERROR, f"settings of {len(payload)} bytes")
        for setting, value in wire.SETTING.iter_unpack(payload):
            if setting == wire.INITIAL_WINDOW_SIZE:
                if value > _LARGEST_WINDOW:
                    raise Http2Error(wire.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
                grown = value - self._stream_window
                self._stream_window = value
                for stream in self.streams.values():
                    stream.window += grown
            elif setting == wire.MAX_FRAME_SIZE:
                if not _DEFAULT_MAX_FRAME <= value < 1 << 24:
                    raise Http2Error(wire.PROTOCOL_ERROR, f"frames of {value} bytes")
                self._max_frame = value
        self._write(frame(wire.SETTINGS, wire.ACK, 0, b""))
        self._flush_all()

    def _take_window(self, number: int, payload: bytes) -> None:
        if len(payload) != wire.NUMBER.size:
            raise Http2Error(wire.FRAME_SIZE_ERROR, f"a window update of {len(payload)} bytes")
        grown = wire.NUMBER.unpack(payload)[0] & _LARGEST_WINDOW
        if number == 0:
            self._window += grown
            if self._window > _LARGEST_WINDOW:
                raise Http2Error(wire.FLOW_CONTROL_ERROR, "the window is too large")
            self._flush_all()
            return
        stream = self.streams.get(number)
        if stream is not None:
            stream.window += grown
            if stream.window > _LARGEST_WINDOW:
                raise Http2Error(wire.FLOW_CONTROL_ERROR, "the window is too large")
            self.flush(stream)

    def _flush_all(self) -> None:
        for stream in list(self.streams.values()):
            if stream.pending:
                self.flush(stream)

    def _reset(self, number: int, code: int) -> None:
        self._write(frame(wire.RST_STREAM, 0, number, wire.NUMBER.pack(code)))
