"""The load generator: closed loop and open loop over raw sockets, in a process of its own.

``python -m benchmarks.load`` reads one `LoadSpec` in JSON from each line of standard input and
answers each with a `Summary` in one line: one process for all runs, so that no interpreter starts
while something is measured.

Closed loop: each connection sends the next request when it has the answer to the last one. It
finds the most a server can do, but a slow server slows its clients down too, which hides latency.
Open loop: requests are due at random moments that do not depend on answers (a Poisson process),
and latency counts from the moment a request was due.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import random
import selectors
import sys
import time
from collections.abc import Callable, Iterator
from typing import cast

import uvloop

from benchmarks.recorder import Recorder, Summary
from benchmarks.wire import RequestTemplate, parse_reply

_STRAGGLERS_S = 10.0
"""How long an open loop waits for the answers to what it has sent."""


@dataclasses.dataclass(frozen=True, slots=True)
class LoadSpec:
    """One run. Times in seconds."""

    host: str
    port: int
    path: str
    values: list[float]
    """The input; its first element varies when inputs are to be distinct."""
    connections: int
    duration_s: float
    distinct: bool
    first_number: int = 0
    """Distinct inputs are numbered from here."""
    warmup_s: float = 0.2
    """Not measured, before the run."""
    slo_s: float = 0.1
    rate: float = 0.0
    """Requests per second of the open loop; 0 means closed loop."""
    seed: int = 0


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, answered: Callable[[_Connection, bool, bool], None]) -> None:
        self.since_s = 0.0
        self.busy = False
        self.lost = asyncio.get_running_loop().create_future()
        self._answered = answered
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derive from nothing

    def send(self, request: bytes, since_s: float) -> None:
        """Send; latency counts from ``since_s``."""
        self.since_s = since_s
        self.busy = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        reply = parse_reply(data)
        if reply is None or len(data) < reply.size:
            self._buffer = data
            return
        self._buffer = data[reply.size :]
        self.busy = False
        self._answered(self, reply.good, reply.default)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def close(self) -> None:
        """Close without waiting."""
        self._transport.close()


class _Load:
    """Connections and request source of one run."""

    def __init__(self, spec: LoadSpec) -> None:
        template = RequestTemplate(f"{spec.host}:{spec.port}", spec.path, spec.values)
        template.start_at(spec.first_number)
        same = template.same
        self.next_request = template.distinct if spec.distinct else (lambda: same)
        self.spec = spec
        self.recorder = Recorder(spec.slo_s)
        self.connections: list[_Connection] = []

    async def connect(self, answered: Callable[[_Connection, bool, bool], None]) -> None:
        """Open all connections.

        Raises:
            OSError: the server is not there.
        """
        loop = asyncio.get_running_loop()
        for _ in range(self.spec.connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(answered), self.spec.host, self.spec.port
            )
            self.connections.append(connection)

    def close(self) -> None:
        """Close all connections; those that the server closed before count as errors."""
        for connection in self.connections:
            if connection.lost.done():
                self.recorder.broken()
            connection.close()


async def closed_loop(spec: LoadSpec) -> Summary:
    """Keep every connection busy for the duration."""
    load = _Load(spec)
    now = time.perf_counter
    next_request = load.next_request
    running = True

    def answered(connection: _Connection, good: bool, default: bool) -> None:
        moment_s = now()
        load.recorder.answered(moment_s - connection.since_s, good, default)
        if running:
            connection.send(next_request(), moment_s)

    await load.connect(answered)
    for connection in load.connections:
        connection.send(next_request(), now())
    await asyncio.sleep(spec.warmup_s)
    # The connections' callback looks the recorder up each time, so this starts the measurement.
    load.recorder = Recorder(spec.slo_s)
    started_s, started_cpu_s = now(), time.process_time()
    await asyncio.sleep(spec.duration_s)
    elapsed_s, cpu_s = now() - started_s, time.process_time() - started_cpu_s
    measured, load.recorder = load.recorder, Recorder(spec.slo_s)
    running = False
    load.close()
    measured.errors += load.recorder.errors
    return measured.summary(elapsed_s, cpu_s / elapsed_s)


async def open_loop(spec: LoadSpec) -> Summary:
    """Send each request when it is due, on any free connection, or as soon as one is free."""
    load = _Load(spec)
    now = time.perf_counter
    free: collections.deque[_Connection] = collections.deque()
    due: collections.deque[float] = collections.deque()
    lags_s: list[float] = []

    def send_due() -> None:
        while due and free:
            connection = free.popleft()
            if not connection.lost.done():
                connection.send(load.next_request(), due.popleft())

    def answered(connection: _Connection, good: bool, default: bool) -> None:
        load.recorder.answered(now() - connection.since_s, good, default)
        free.append(connection)
        send_due()

    await load.connect(answered)
    free.extend(load.connections)
    started_s, started_cpu_s = now(), time.process_time()
    for due_s in arrivals(spec.rate, spec.duration_s, spec.seed):
        wait_s = started_s + due_s - now()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        due.append(started_s + due_s)
        lags_s.append(now() - due[-1])
        send_due()
    await _stragglers(load, due, send_due)
    elapsed_s, cpu_s = now() - started_s, time.process_time() - started_cpu_s
    load.recorder.errors += len(due) + sum(c.busy for c in load.connections)
    load.close()
    return load.recorder.summary(spec.duration_s, cpu_s / elapsed_s, lags_s)


async def _stragglers(
    load: _Load, due: collections.deque[float], send_due: Callable[[], None]
) -> None:
    give_up_s = time.perf_counter() + _STRAGGLERS_S
    while due or any(connection.busy for connection in load.connections):
        if time.perf_counter() > give_up_s:
            return
        send_due()
        await asyncio.sleep(0.002)


def arrivals(rate: float, duration_s: float, seed: int) -> Iterator[float]:
    """Yield the moments of a Poisson process, in seconds from its start."""
    source = random.Random(seed)
    moment_s = source.expovariate(rate)
    while moment_s < duration_s:
        yield moment_s
        moment_s += source.expovariate(rate)


def precise_loop() -> asyncio.AbstractEventLoop:
    """Return a loop whose timers are exact to some ten microseconds.

    uvloop and epoll round timers to whole milliseconds, which would be the larger part of the
    latencies measured here; ``select`` takes microseconds.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def run(spec: LoadSpec) -> Summary:
    """Do one run on an event loop of its own."""
    if spec.rate:
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            return runner.run(open_loop(spec))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(closed_loop(spec))


def main() -> None:
    """Serve runs until standard input ends."""
    for line in sys.stdin:
        summary = run(LoadSpec(**json.loads(line)))
        print(json.dumps(dataclasses.asdict(summary)), flush=True)


if __name__ == "__main__":
    main()
