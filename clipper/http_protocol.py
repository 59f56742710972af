"""The HTTP server's connection, with limits where uvicorn has none. For both frontends.

uvicorn bounds an idle connection only between two requests. A client that connects and sends
nothing, sends a request line byte by byte, sends headers for ever or never reads its answers would
hold memory and a descriptor until the process ends. Bodies are the application's to bound.

Nor does uvicorn read the body of a request that asks for another protocol, as Java's HTTP client
does with its first one ("Upgrade: h2c"). Here the wish is ignored and the request is served.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request line with its headers; what arrives in one read is always taken."""

_LOGGER = "clipper.http_protocol"
_REPEAT_AFTER_S = 60.0


def bounded_protocol(send_timeout_s: float) -> type[asyncio.Protocol]:
    """Return what uvicorn takes as its ``http`` setting.

    A request's head must arrive within the ``timeout_keep_alive`` of the configuration, and a
    reply that the client does not read ends the connection after ``send_timeout_s``.
    """
    logger = logging.getLogger(_LOGGER)
    if not logger.filters:
        logger.addFilter(SparseWarnings())
    protocol = functools.partial(BoundedHttpProtocol, send_timeout_s=send_timeout_s)
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

    def __init__(self, *args: Any, send_timeout_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = logging.getLogger(_LOGGER)
        self._send_timeout_s = send_timeout_s
        self._send_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The client has connected; its first request is due."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._cancel_head_timer()
        self._cancel_send_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came. Called for every request: the usual case does no more than three tests."""
        self._unset_keepalive_if_required()
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

    def on_headers_complete(self) -> None:
        """Start the request, unless the parser is about to skip its body (see `_parse`)."""
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is complete."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def pause_writing(self) -> None:
        """The client reads more slowly than answers are made."""
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self._send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._cancel_send_timer()
        super().resume_writing()

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
