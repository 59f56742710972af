"""The HTTP server's connection, with limits where uvicorn has none. For both frontends.

uvicorn bounds an idle connection only between two requests. A client that connects and sends
nothing, sends a request line byte by byte, sends headers for ever or never reads its answers would
hold memory and a descriptor until the process ends. Bodies are the application's to bound.

A request that comes whole, with a head that the application recognises, is not parsed again and
needs no task (`clipper.http_cycle`): most predictions cost less than half of uvicorn's time so.

Nor does uvicorn read the body of a request that asks for another protocol, as Java's HTTP client
does with its first one ("Upgrade: h2c"). Here the wish is ignored and the request is served.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from clipper.http_cycle import WholeRequestCycle

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request line with its headers; what arrives in one read is always taken."""

_END_OF_HEAD = b"\r\n\r\n"
_LOGGER = "clipper.http_protocol"
_REPEAT_AFTER_S = 60.0


class KnownHead(Protocol):
    """A head that was recognised by its bytes."""

    @property
    def scope(self) -> Mapping[str, Any]:
        """The ASGI scope, but for what belongs to the connection; it is copied."""

    @property
    def body_bytes(self) -> int:
        """The length of the body."""


ReadHead = Callable[[bytes], KnownHead | None]


def bounded_protocol(
    send_timeout_s: float, read_head: ReadHead | None = None
) -> type[asyncio.Protocol]:
    """Return what uvicorn takes as its ``http`` setting.

    A request's head must arrive within the ``timeout_keep_alive`` of the configuration, and a
    reply that the client does not read ends the connection after ``send_timeout_s``.

    Args:
        send_timeout_s: see above.
        read_head: recognises heads (with the empty line at their end) of POST requests with a body
            of known length, on a connection that stays open, that the application answers without
            a task of its own: see `WholeRequestCycle.begin`. It returns None for any other head,
            and those are uvicorn's to parse and to serve.
    """
    logger = logging.getLogger(_LOGGER)
    if not logger.filters:
        logger.addFilter(SparseWarnings())
    protocol = functools.partial(
        BoundedHttpProtocol, send_timeout_s=send_timeout_s, read_head=read_head
    )
    return cast("type[asyncio.Protocol]", protocol)


class SparseWarnings(logging.Filter):
    """Lets each warning through once a minute: any stranger can cause it, as often as he likes."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide on one record; say how many were left out."""
        if record.levelno > logging.WARNING:
            return True
        text = str(record.msg)
        last_s, omitted = self._last.get(text, (-_REPEAT_AFTER_S, 0))
        if record.created - last_s < _REPEAT_AFTER_S:
            self._last[text] = (last_s, omitted + 1)
            return False
        self._last[text] = (record.created, 0)
        if omitted:
            record.msg = f"{text} ({omitted} more since the last time)"
        return True


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. Belongs to the event loop's thread."""

    def __init__(
        self, *args: Any, send_timeout_s: float, read_head: ReadHead | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.logger = logging.getLogger(_LOGGER)
        self._read_head = read_head
        self._in_message = False
        """Whether the parser is within a request."""
        self._whole_ended = asyncio.Event()
        """One for all whole requests: who still waits for the end of an earlier one is awake."""
        self._send_timeout_s = send_timeout_s
        self._send_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._idle_since_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The client has connected; its first request is due."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._cancel_head_timer()
        self._cancel_send_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came: mostly one whole request."""
        if self._read_head is not None and self._serve_whole(data, self._read_head):
            return
        self._parse(data)
        in_head = self._in_head()
        if not in_head and self._serving():
            if self._head_timer is not None:
                self._cancel_head_timer()
            return
        if self.transport.is_closing():
            return
        if self._head_timer is None:
            # Also when there is no head yet: line breaks before it, or the rest of a refused body.
            self._await_head()
        elif in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "The request's headers are too large.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_message = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request, unless the parser is about to skip its body (see `_parse`)."""
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is complete."""
        self._in_message = False
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The response has been written; from now on the connection may be idle."""
        if self.pipeline or self.flow.read_paused:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self._idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._await_request(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle; a timer for each request would cost more."""
        self.timeout_keep_alive_task = None
        if self._serving() or self._head_timer is not None:
            return
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._await_request(left_s)
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """The client reads more slowly than answers are made."""
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self._send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._cancel_send_timer()
        super().resume_writing()

    def _serve_whole(self, data: bytes, read_head: ReadHead) -> bool:
        """Serve data that is one whole request with a known head; False: it is not."""
        before = self.cycle
        if self._in_message or not (before is None or before.response_complete):
            return False
        body_at = data.find(_END_OF_HEAD) + 4
        head = read_head(data[:body_at]) if body_at > 3 else None
        if head is None or len(data) - body_at != head.body_bytes:
            return False
        if self._head_timer is not None:
            self._cancel_head_timer()
        scope: Any = dict(head.scope)
        scope["server"] = self.server
        scope["client"] = self.client
        scope["scheme"] = self.scheme
        scope["state"] = self.app_state.copy()
        self.scope = scope
        self._whole_ended.clear()
        self.cycle = cycle = WholeRequestCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=self._whole_ended,
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        rest = cycle.begin(self.app, data[body_at:])
        if rest is not None:
            task = self.loop.create_task(rest)
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)
        return True

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._malformed()
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self._malformed()
            else:
                self._parse(self._head_without_upgrade() + data[upgrade.args[0] :])

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _malformed(self) -> None:
        text = "Invalid HTTP request received."
        self.logger.warning(text)
        self.send_400_response(text)

    def _in_head(self) -> bool:
        """Whether a request has begun whose headers are not complete."""
        scope: Any = self.scope  # None before the first request
        return scope is not None and "method" not in scope

    def _serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.timeout_keep_alive, self._head_late)

    def _await_request(self, timeout_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            timeout_s, self.timeout_keep_alive_handler
        )

    def _head_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._serving():
            # The beginning of a pipelined request; the answer before it is still being made.
            self._head_timer = self.loop.call_later(self.timeout_keep_alive, self._head_late)
        elif self._in_head():
            self._refuse(408, "The request's headers did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, status: int, text: str) -> None:
        self._cancel_head_timer()
        if not self._serving():
            head = b"content-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(text) + text.encode())
        self.transport.close()

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cancel_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None
