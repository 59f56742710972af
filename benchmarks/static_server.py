"""A prediction server as simple as can be: one process, static batches, the model in a thread.

``python -m benchmarks.static_server PORT BATCH WAIT_S``

What TensorFlow Serving does with hand-tuned batches, in Python: a batch leaves when it is full or
when its oldest query has waited. No cache, no deadlines, no other process.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import uvicorn

from benchmarks import models


class _Body(msgspec.Struct):
    input: list[float]


_decode = msgspec.json.Decoder(_Body).decode


class StaticBatchServer:
    """ASGI callable."""

    def __init__(self, model: Any, batch: int, wait_s: float) -> None:
        self._model = model
        self._batch = batch
        self._wait_s = wait_s
        self._queued: list[tuple[list[float], asyncio.Future[bytes]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1)
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Queue the input, wait for its batch, answer."""
        values = _decode(await _body(receive)).input
        answer = asyncio.get_running_loop().create_future()
        self._queued.append((values, answer))
        if len(self._queued) >= self._batch:
            self._leave()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._leave)
        body = await answer
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._queued = self._queued, []
        task = asyncio.create_task(self._predict(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _predict(self, batch: list[tuple[list[float], asyncio.Future[bytes]]]) -> None:
        matrix = np.array([values for values, _ in batch])
        loop = asyncio.get_running_loop()
        outputs = await loop.run_in_executor(self._thread, self._model.predict, matrix)
        for (_, answer), output in zip(batch, outputs, strict=True):
            answer.set_result(b'{"query_id":0,"output":%d,"default":false}' % output)


async def _body(receive: Any) -> bytes:
    """Return a request's whole body: it may come in parts."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def main() -> None:
    """Serve the forest until killed."""
    port, batch, wait_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    uvicorn.run(
        StaticBatchServer(models.digits_forest(), batch, wait_s),
        host="127.0.0.1",
        port=port,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
    )


if __name__ == "__main__":
    main()
