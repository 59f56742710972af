"""The predict path past uvicorn and ASGI: a protocol class on uvicorn's ``http=`` seam.

It knows one kind of request, a plain ``POST /<app>/predict``, which it answers with a single write.
At anything else (another path, a chunked body, HTTP/1.0, a head in pieces, ...) the connection goes
to uvicorn's own class with the bytes of that request, unchanged, and stays there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from clipper.clock import Clock
from clipper.frontend.predictions import Predictions, unknown_application
from clipper.frontend.request_head import HeadCache, PredictHead
from clipper.frontend.responses import Response
from clipper.query.query import PredictRequest

_MAX_HELD_BYTES = 64 * 1024
"""Pipelined bytes beyond this stay in the kernel until the answer before them has left."""
_BODY_IN_PIECES_S = 1.0
"""A body that takes longer to arrive is left to the other class, which bounds slow senders."""
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
_END_OF_HEAD = b"\r\n\r\n"


class PredictDoor:
    """What the connections of one worker share."""

    def __init__(
        self,
        clock: Clock,
        heads: HeadCache,
        keep_alive_s: float,
        send_timeout_s: float,
        fallback: Callable[..., asyncio.Protocol],
    ) -> None:
        """Take limits in seconds and bytes.

        Args:
            clock: of the event loop.
            heads: what it leaves unread goes to the fallback.
            keep_alive_s: how long a connection may be idle.
            send_timeout_s: how long a client may leave an answer unread.
            fallback: makes uvicorn's own protocol, with the arguments that uvicorn gives to it.
        """
        self.clock = clock
        self.keep_alive_s = keep_alive_s
        self.send_timeout_s = send_timeout_s
        self.fallback = fallback
        self.heads = heads
        self.predictions: Predictions | None = None
        """None until the worker can serve; all connections go to the fallback until then."""
        self.retiring = False
        """Whether each answer now asks its client to come again on a new connection."""

    def protocol(self, **arguments: Any) -> PredictProtocol:
        """Return the protocol of a new connection; uvicorn calls this."""
        return PredictProtocol(self, arguments)


class PredictProtocol(asyncio.Protocol):
    """One connection, at most one request in flight. Belongs to the event loop's thread."""

    def __init__(self, door: PredictDoor, arguments: dict[str, Any]) -> None:
        self._door = door
        self._arguments = arguments
        self._connections: set[Any] = arguments["server_state"].connections
        self._transport: asyncio.Transport
        self._request: PredictRequest | None = None
        self._pieces: list[bytes] = []
        """The beginning of a request whose body is still arriving."""
        self._missing_bytes = 0
        self._held = b""
        """What arrived behind the request in flight."""
        self._paused_reading = False
        self._paused_writing = False
        self._closing = False
        """Whether the next answer is the last on this connection."""
        self._active_s = 0.0
        self._idle_timer: Any = None
        self._pieces_timer: Any = None
        self._send_timer: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derive from nothing
        self._connections.add(self)
        # Answers leave as they are made, not when the event loop has gone round: the most urgent of
        # a batch are made first, and would wait for all the others.
        self._transport.set_write_buffer_limits(high=0)
        clock = self._door.clock
        self._active_s = clock.now()
        self._idle_timer = clock.call_later(self._door.keep_alive_s, self._check_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; what is in flight ends as usual, and is then not written."""
        self._detach()

    def data_received(self, data: bytes) -> None:
        """Bytes came: mostly one whole request."""
        if self._missing_bytes:
            self._pieces.append(data)
            self._missing_bytes -= len(data)
            if self._missing_bytes > 0:
                return
            data = self._join_pieces()
        if self._held or self._busy():
            self._hold(data)
            return
        door = self._door
        predictions = door.predictions
        while data:
            body_at = data.find(_END_OF_HEAD) + 4
            head = door.heads.read(data[:body_at]) if body_at > 3 else None
            if head is None or predictions is None:
                self._hand_over(data)
                return
            end = body_at + head.body_bytes
            size = len(data)
            if size < end:
                self._wait_for_rest(data, end - size)
                return
            if size == end:
                self._serve(head, data[body_at:], predictions)
                return
            rest = data[end:]
            self._serve(head, data[body_at:end], predictions)
            if self._busy():
                self._hold(rest)
                return
            data = rest

    def pause_writing(self) -> None:
        """The client reads more slowly than answers are made."""
        self._paused_writing = True
        door = self._door
        self._send_timer = door.clock.call_later(door.send_timeout_s, self._transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused_writing = False
        self._cancel_send_timer()
        self._go_on()

    def shutdown(self) -> None:
        """Close, at once or behind the answer in flight; uvicorn calls this when it stops."""
        self._closing = True
        if self._request is None and not self._missing_bytes:
            self._transport.close()

    def _busy(self) -> bool:
        """Whether an answer must leave before the next request is looked at."""
        return self._request is not None or self._paused_writing

    def _serve(self, head: PredictHead, body: bytes, predictions: Predictions) -> None:
        application = predictions.applications.get(head.application)
        if application is None:
            self._write(unknown_application(head.application), predictions)
            return
        request = predictions.begin(application, body)
        if isinstance(request, Response):
            self._write(request, predictions)
        elif request.pending:
            self._request = request
            request.on_done = self._answer
        else:
            self._write(predictions.response(request), predictions)

    def _answer(self) -> None:
        """The request in flight is finished."""
        request, self._request = self._request, None
        predictions = self._door.predictions
        if request is not None and predictions is not None:
            self._write(predictions.response(request), predictions)
            if self._held or self._paused_reading:
                # Not from within whoever finished the request: it may be taking a batch.
                self._door.clock.call_soon(self._go_on)

    def _write(self, response: Response, predictions: Predictions) -> None:
        door = self._door
        predictions.count_response(response.status)
        self._active_s = door.clock.now()
        transport = self._transport
        if transport.is_closing():
            return
        closing = self._closing or door.retiring
        if response.status == 200 and not response.headers and not closing:
            transport.write(_OK % (len(response.body), response.body))
            return
        lines = [STATUS_LINE[response.status], b"content-type: application/json\r\n"]
        lines.append(b"content-length: %d\r\n" % len(response.body))
        lines += [b"%b: %b\r\n" % header for header in response.headers]
        if closing:
            lines.append(b"connection: close\r\n")
        transport.write(b"".join([*lines, b"\r\n", response.body]))
        if closing:
            transport.close()

    def _go_on(self) -> None:
        """Take up what was held back."""
        if self._busy() or self._transport.is_closing():
            return
        held, self._held = self._held, b""
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        if held:
            self.data_received(held)

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > _MAX_HELD_BYTES and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    def _wait_for_rest(self, data: bytes, missing_bytes: int) -> None:
        self._pieces = [data]
        self._missing_bytes = missing_bytes
        self._pieces_timer = self._door.clock.call_later(_BODY_IN_PIECES_S, self._rest_late)

    def _join_pieces(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._missing_bytes = 0
        self._pieces_timer.cancel()
        self._pieces_timer = None
        return data

    def _rest_late(self) -> None:
        self._hand_over(self._join_pieces())

    def _hand_over(self, data: bytes) -> None:
        """Leave the connection to uvicorn's class, beginning with ``data``."""
        self._detach()
        self._transport.set_write_buffer_limits()
        fallback: Any = self._door.fallback(**self._arguments)
        self._transport.set_protocol(fallback)
        fallback.connection_made(self._transport)
        if self._paused_writing:
            fallback.pause_writing()
        fallback.data_received(data)
        if self._closing:
            fallback.shutdown()

    def _check_idle(self, was_read: bool = False) -> None:
        door = self._door
        left_s = self._active_s + door.keep_alive_s - door.clock.now()
        if self._busy() or self._missing_bytes or left_s > 0:
            delay_s = door.keep_alive_s if left_s <= 0 else max(left_s, 0.01)
            self._idle_timer = door.clock.call_later(delay_s, self._check_idle)
        elif was_read:
            self._transport.close()
        else:
            # On a busy loop a request may have come that was not read yet.
            self._idle_timer = door.clock.after_reading(lambda: self._check_idle(was_read=True))

    def _detach(self) -> None:
        self._connections.discard(self)
        for timer in (self._idle_timer, self._pieces_timer):
            if timer is not None:
                timer.cancel()
        self._cancel_send_timer()

    def _cancel_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None
