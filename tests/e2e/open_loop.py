"""Open-loop HTTP load from a thread of its own: sends on schedule, whatever comes back.

A request whose connection breaks, or brings nothing in time, is recorded as broken and sent once
more, as a careful client would (design decision 21); the second outcome counts separately.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass
class Sample:
    """One query and what became of it."""

    number: int
    sent_s: float
    status: int = 0
    body: dict[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""
    latency_s: float = 0.0
    broken: int = 0
    """How often the connection broke before an answer came."""
    faults: list[str] = dataclasses.field(default_factory=list)
    """What broke it each time."""

    @property
    def answered(self) -> bool:
        return self.status == 200 and self.body.get("default") is False

    @property
    def defaulted(self) -> bool:
        return self.status == 200 and self.body.get("default") is True


class OpenLoop:
    """``with OpenLoop(address, app, rate) as load: …`` and then look at ``load.samples``."""

    def __init__(
        self,
        address: str,
        app: str,
        rate_per_s: float,
        make_input: Callable[[int], Any],
        timeout_s: float = 10.0,
        keep_alive: bool = True,
    ) -> None:
        self._host, _, port = address.partition(":")
        self._port = int(port)
        self._app = app
        self._interval_s = 1.0 / rate_per_s
        self._make_input = make_input
        self._timeout_s = timeout_s
        self._keep_alive = keep_alive
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.samples: list[Sample] = []
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def __enter__(self) -> OpenLoop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._timeout_s + 30.0)
        assert not self._thread.is_alive(), "the load did not end"

    def finished(self) -> int:
        return sum(1 for sample in list(self.samples) if sample.status)

    async def _run(self) -> None:
        pending: set[asyncio.Task[None]] = set()
        next_s = time.monotonic()
        number = 0
        while not self._stop.is_set():
            delay_s = next_s - time.monotonic()
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            sample = Sample(number, next_s)
            self.samples.append(sample)
            task = asyncio.create_task(self._query(sample))
            pending.add(task)
            task.add_done_callback(pending.discard)
            number += 1
            next_s += self._interval_s
        if pending:
            await asyncio.wait(pending)
        for _, writer in self._idle:
            writer.close()

    async def _query(self, sample: Sample) -> None:
        body = json.dumps({"input": self._make_input(sample.number)}).encode()
        request = (
            f"POST /{self._app}/predict HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        while sample.broken < 30:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._exchange(sample, request)
                break
            except (OSError, EOFError, ValueError) as error:  # no answer in time is an OSError
                sample.broken += 1
                sample.faults.append(repr(error))
                await asyncio.sleep(0.1)
        sample.latency_s = time.monotonic() - sample.sent_s

    def _open_idle(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return an idle connection that the server has not closed: it does so after a while."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _exchange(self, sample: Sample, request: bytes) -> None:
        reader, writer = self._open_idle() or await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(
                line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
            )
            content = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        sample.status = int(head.split()[1])
        sample.reason = headers.get("x-clipper-default", "")
        sample.body = json.loads(content) if content.startswith(b"{") else {}
        if self._keep_alive:
            self._idle.append((reader, writer))
        else:
            writer.close()
