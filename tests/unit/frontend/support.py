"""The predict application called as an ASGI server would, on the query path's bench."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, MutableMapping
from typing import Any

from clipper.datatypes import InputType
from clipper.frontend.app import create_app
from clipper.frontend.predict import PredictApp
from clipper.frontend.predictions import Predictions
from clipper.frontend.updates import Updates
from clipper.metrics import FrontendMetrics, Snapshot
from clipper.settings import HttpSettings
from tests.unit.query.support import Bench

Message = MutableMapping[str, Any]

TOO_LATE = "Failed to retrieve a prediction response within the specified latency SLO"


def chunk(body: bytes, more: bool) -> Message:
    """A piece of a request's body."""
    return {"type": "http.request", "body": body, "more_body": more}


class Reply:
    """What the application sent for one request."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def cause(self) -> str:
        return str(self.json["cause"])


class Frontend(Bench):
    """A worker's HTTP application without a server."""

    def __init__(self, settings: HttpSettings | None = None, max_queue_length: int = 100) -> None:
        super().__init__(max_queue_length=max_queue_length)
        self.statuses: list[int] = []
        self.metrics = FrontendMetrics(self.clock.now, "test")
        self.is_ready = True
        settings = settings or HttpSettings()
        self.predictions = Predictions(
            self.processor, self.clock, settings.max_batch_inputs, self.statuses.append
        )
        self.http = PredictApp(
            self.predictions,
            Updates(self.feedback),
            self.clock,
            settings,
            create_app(self._snapshot, lambda: self.is_ready),
        )

    async def _snapshot(self) -> Snapshot:
        return self.metrics.snapshot()

    def typed(self, input_type: InputType, **app: object) -> None:
        """Register ``app`` for an input type, linked to nothing: every answer is the default."""
        self.configure([self.app_record(input_type=input_type, **app)])  # type: ignore[arg-type]

    def start(
        self,
        path: str,
        chunks: Iterable[Message] | bytes = b"",
        method: str = "POST",
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> tuple[asyncio.Task[None], Reply]:
        """Begin a request; a body is one complete message, or the messages given."""
        if isinstance(chunks, bytes):
            chunks = [{"type": "http.request", "body": chunks, "more_body": False}]
        pending = list(chunks)

        async def receive() -> Message:
            if pending:
                return pending.pop(0)
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        reply = Reply()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "server": ("test", 1337),
            "client": ("test", 1),
            "root_path": "",
            "query_string": b"",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "headers": list(headers),
        }
        return asyncio.create_task(self.http(scope, receive, reply.send)), reply

    async def settle(self) -> None:
        """Let tasks and the virtual clock do what is due now."""
        for _ in range(5):
            await asyncio.sleep(0)
            self.clock.settle()

    async def call(
        self, path: str, body: bytes | dict[str, Any] = b"", method: str = "POST", **more: Any
    ) -> Reply:
        """Make a request that is answered without a container."""
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        task, reply = self.start(path, body, method, **more)
        async with asyncio.timeout(5):
            await task
        return reply

    async def predict(self, body: bytes | dict[str, Any], **more: Any) -> Reply:
        return await self.call("/app/predict", body, **more)
