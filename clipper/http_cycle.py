"""One request and its response on uvicorn's connection, for requests that arrive whole.

uvicorn runs every request in a task, wakes it for the body and writes head and body apart. When
the body is there before the application begins, none of that is needed: the application is called
where the bytes came in, and what it sends leaves in one write. To the application it is ASGI.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Coroutine, Generator
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

_HEADS_KEPT = 1024
_UNUSUAL = (b"connection", b"transfer-encoding")

Headers = tuple[tuple[bytes, bytes], ...]


class WholeRequestCycle(RequestResponseCycle):
    """A request that came with its body; its method is not HEAD.

    A response that is unusual is left to uvicorn's class, which writes head and body apart.
    """

    _whole: bytes | None = None
    """The body, until the application has taken it."""
    _start: Any = None
    """The message that begins the response. ASGI lets it wait for the one that follows."""

    def begin(self, app: Any, body: bytes) -> Coroutine[Any, Any, None] | None:
        """Run the application on a body until it waits for something.

        So far it runs in no task of its own, and what it does to context variables stays. It must
        not ask for a task, as `asyncio.timeout` and anyio do, before it has waited for the first
        time.

        Returns:
            What remains to be run, in a task; None when the application has finished.
        """
        self._whole = body
        self.more_body = False
        running = self.run_asgi(app)
        try:
            waited_for = running.send(None)
        except StopIteration:
            return None
        return _rest(running, waited_for)

    async def receive(self) -> Any:
        """Give the body; after that, wait for the end of the response or of the connection."""
        body = self._whole
        if body is None or self.disconnected:
            return await super().receive()
        self._whole = None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        """Take a message; write head and body of a usual response together."""
        start = self._start
        if start is None:
            if message["type"] == "http.response.start" and not self.response_started:
                self._start = message
                return
        else:
            self._start = None
            response = self._joined(start, message)
            if response is not None:
                self.transport.write(response)
                self.response_started = self.response_complete = True
                self.message_event.set()
                self.on_response()
                return
            await super().send(start)
        await super().send(message)

    async def send_500_response(self) -> None:
        """Answer for an application that failed, whatever it had begun to say."""
        self._start = None
        await super().send_500_response()

    def _joined(self, start: Any, message: Any) -> bytes | None:
        """Return the response as bytes, if it is a usual one that may be written now."""
        usual = (
            message["type"] == "http.response.body"
            and not message.get("more_body")
            and self.keep_alive
            and not self.disconnected
            and not self.flow.write_paused
            and not self.default_headers
            and not self.access_log
        )
        if not usual:
            return None
        try:
            head = _rendered(start["status"], tuple(start.get("headers", ())))
        except TypeError:  # a header that is a list cannot be looked up
            return None
        body: bytes = message.get("body", b"")
        return head[0] + body if head is not None and head[1] == len(body) else None


@functools.lru_cache(_HEADS_KEPT)
def _rendered(status: int, headers: Headers) -> tuple[bytes, int] | None:
    """Return the head of a response and the length that it gives for the body.

    Returns:
        None when the headers are wrong, or say how the body or the connection ends.
    """
    lines = [STATUS_LINE[status]]
    length = None
    for name, value in headers:
        name = name.lower()
        if name in _UNUSUAL or HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value)
        lines += [name, b": ", value, b"\r\n"]
    return None if length is None else (b"".join([*lines, b"\r\n"]), length)


async def _rest(running: Coroutine[Any, Any, None], waited_for: Any) -> None:
    await _resumed(running, waited_for)


@types.coroutine
def _resumed(running: Coroutine[Any, Any, None], waited_for: Any) -> Generator[Any, Any, None]:
    """Wait in the present task for what a coroutine began to wait for outside of it; go on."""
    try:
        while True:
            try:
                result = yield waited_for
            except BaseException as error:
                waited_for = running.throw(error)
            else:
                waited_for = running.send(result)
    except StopIteration:
        return
