"""What a worker answers before it can serve: that it is alive, not ready, and why."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

from clipper.errors import StoreUnavailable
from clipper.frontend.predict import AsgiApp, Receive, Scope, Send
from clipper.frontend.responses import Response, error_response, plain_response
from clipper.store.base import ConfigStore

_log = logging.getLogger(__name__)

_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 2.0
_LIVE_PATHS = ("/livez", "/v2/health/live")
_READY_PATHS = ("/readyz", "/v2/health/ready")
_CONTENT_TYPE = (b"content-type", b"application/json")


async def first_epoch(store: ConfigStore, waiting: Callable[[str], None]) -> int:
    """Take this worker's epoch from the store; wait for the store for ever, as the original did.

    Its name is looked up anew at every attempt, so it may come up later or move.

    Args:
        store: where the epoch is.
        waiting: called after each attempt that failed, with the reason.
    """
    pause_s = _FIRST_RETRY_S
    while True:
        try:
            return await store.next_epoch()
        except StoreUnavailable as error:
            _log.error("waiting for the configuration store: %s", error)
            waiting(str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_RETRY_S)


class StartingApp:
    """The ASGI application of a worker from its first to its last request.

    Not a coroutine function, so that passing a request on costs no frame of its own.
    """

    def __init__(self) -> None:
        self.reason = "The worker is starting."
        self._app: AsgiApp = self._answer

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one ASGI connection scope."""
        return self._app(scope, receive, send)

    def started(self, app: AsgiApp) -> None:
        """From now on ``app`` answers."""
        self._app = app

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._response(str(scope.get("path", "")))
        headers = [_CONTENT_TYPE, (b"content-length", b"%d" % len(response.body))]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def _response(self, path: str) -> Response:
        if path in _LIVE_PATHS:
            return plain_response(200, '{"live":true}')
        if path in _READY_PATHS:
            return plain_response(503, json.dumps({"ready": False, "reason": self.reason}))
        return error_response(503, "The query frontend is starting", self.reason)
