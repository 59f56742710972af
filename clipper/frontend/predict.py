"""The predict path: a plain ASGI callable in front of FastAPI's router (design decision 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from clipper.clock import Clock
from clipper.frontend.predictions import Predictions, split_path, unknown_application
from clipper.frontend.request_head import WHOLE_BODY
from clipper.frontend.responses import Response, error_response, plain_response
from clipper.frontend.updates import Updates
from clipper.query.applications import Application
from clipper.query.query import PredictRequest
from clipper.settings import HttpSettings

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_SIZE_DIGITS = 15
"""A Content-Length of more digits is too large, whatever they are."""
_VERBS = ("predict", "update")
_MIN_DELAY_S = 0.001
_CONTENT_TYPE = (b"content-type", b"application/json")


class _Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


class ClientGone(Exception):  # noqa: N818 - an event: the client closed the connection
    """There is nobody to answer."""


class _BodyDeadlines:
    """Cancels the tasks that have waited too long for a body, with one timer for all.

    `asyncio.timeout` would cost every request ten times as much.
    """

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._clock = clock
        self._begun: dict[asyncio.Task[Any] | None, float] = {}
        self._timed = False

    def begin(self, task: asyncio.Task[Any] | None) -> None:
        """The running task begins to wait."""
        self._begun[task] = self._clock.now()
        if not self._timed:
            self._timed = True
            self._clock.call_later(self.timeout_s, self._cancel_late)

    def end(self, task: asyncio.Task[Any] | None) -> None:
        """It waits no more."""
        self._begun.pop(task, None)

    def in_time(self, task: asyncio.Task[Any]) -> bool:
        """Whether a waiting task was not cancelled from here."""
        return task in self._begun

    def _cancel_late(self) -> None:
        self._timed = False
        now_s = self._clock.now()
        for task, begun_s in list(self._begun.items()):
            left_s = begun_s + self.timeout_s - now_s
            if left_s > 0:
                self._timed = True
                self._clock.call_later(max(left_s, _MIN_DELAY_S), self._cancel_late)
                return
            del self._begun[task]
            if task is not None:
                task.cancel()


def _finished(request: PredictRequest) -> asyncio.Future[None]:
    done = asyncio.get_running_loop().create_future()
    request.on_done = lambda: done.set_result(None) if not done.done() else None
    return done


class PredictApp:
    """Answers ``/<app>/predict`` and ``/<app>/update``; hands everything else on."""

    def __init__(
        self,
        predictions: Predictions,
        updates: Updates,
        clock: Clock,
        settings: HttpSettings,
        fallback: AsgiApp,
    ) -> None:
        self._predictions = predictions
        self._updates = updates
        self._settings = settings
        self._fallback = fallback
        self._bodies = _BodyDeadlines(clock, settings.timeout_content_s)
        self._limit_digits = len(str(settings.max_body_bytes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection scope."""
        name, verb = split_path(scope.get("path", ""))
        if verb not in _VERBS or not name or scope["type"] != "http":
            await self._fallback(scope, receive, send)
            return
        try:
            response = await self._answer(name, verb, scope, receive)
        except ClientGone:
            return
        self._predictions.count_response(response.status)
        length = (b"content-length", b"%d" % len(response.body))
        headers = (_CONTENT_TYPE, length, *response.headers)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _answer(self, name: str, verb: str, scope: Scope, receive: Receive) -> Response:
        application = self._predictions.applications.get(name)
        if application is None:
            return unknown_application(name)
        if scope["method"] != "POST":
            cause = f"Use POST, not {scope['method']}."
            return error_response(405, "Method not allowed", cause, [(b"allow", b"POST")])
        try:
            if WHOLE_BODY in scope.get("extensions", ()):
                # There is no waiting that a deadline could end, nor a task of this request's own.
                body = self._checked((await receive())["body"])
            else:
                body = await self._body(scope, receive)
            if verb == "update":
                return await self._update(application, body, scope)
            request = self._predictions.begin(application, body)
            if isinstance(request, Response):
                return request
            if request.pending:
                await _finished(request)
            return self._predictions.response(request)
        except _Refused as refused:
            return refused.response
        except ClientGone:
            raise
        except Exception:
            log.exception("predict request for %s failed", name)
            return plain_response(500, "An unexpected error occurred!")

    async def _update(self, application: Application, body: bytes, scope: Scope) -> Response:
        key = None
        for name, value in scope["headers"]:
            if name == b"idempotency-key":
                key = value.decode("latin-1")
        return await self._updates.answer(application, body, key)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        for name, value in scope["headers"]:
            if name == b"content-length" and len(value) >= self._limit_digits:
                self._check_declared(value)
        task = asyncio.current_task()
        self._bodies.begin(task)
        try:
            message = await receive()
            if not message.get("more_body"):
                if message["type"] == "http.disconnect":
                    raise ClientGone
                return self._checked(message.get("body", b""))
            return await self._long_body(message.get("body", b""), receive)
        except asyncio.CancelledError:
            if task is None or self._bodies.in_time(task) or task.uncancel():
                raise
            raise _Refused(self._too_slow()) from None
        finally:
            self._bodies.end(task)

    def _check_declared(self, content_length: bytes) -> None:
        """Refuse before reading. What is no number is measured: the header may lie anyway."""
        if content_length.isdigit() and (
            len(content_length) > _SIZE_DIGITS
            or int(content_length) > self._settings.max_body_bytes
        ):
            raise _Refused(self._too_large())

    async def _long_body(self, first: bytes, receive: Receive) -> bytes:
        parts = [first]
        size = len(first)
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._settings.max_body_bytes:
                raise _Refused(self._too_large())
            more = message.get("more_body", False)
        return b"".join(parts)

    def _checked(self, body: bytes) -> bytes:
        if len(body) > self._settings.max_body_bytes:
            raise _Refused(self._too_large())
        return body

    def _too_slow(self) -> Response:
        return error_response(
            408,
            "Request timeout",
            f"The body was not complete after {self._settings.timeout_content_s} s.",
        )

    def _too_large(self) -> Response:
        return error_response(
            413,
            "Request too large",
            f"The body is larger than {self._settings.max_body_bytes} bytes; send fewer inputs "
            "or raise --max-body-bytes of the query frontend.",
        )
