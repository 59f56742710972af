"""The load generator: closed loop and open loop, in a process of its own.

``python -m benchmarks.load`` reads one `LoadSpec` in JSON from each line of standard input and
answers each with a `Summary` in one line: one process for all runs, so that no interpreter starts
while something is measured.

Closed loop: each connection sends the next request when it has the answer to the last one. It
finds the most a server can do, but a slow server slows its clients down too, which hides latency.
``wrk`` does it where it is installed, and takes a fraction of the processor time that Python does.
Open loop: requests are due at random moments that do not depend on answers, and latency counts
from the moment a request was due.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator

from benchmarks import wrk
from benchmarks.arrivals import arrivals, zipf_numbers
from benchmarks.connections import Connection, Pool
from benchmarks.recorder import Recorder, Summary
from benchmarks.scheduling import ask_for_short_slices
from benchmarks.spec import Inputs, LoadSpec
from benchmarks.wire import Reply, RequestTemplate, whole_output

_STRAGGLERS_S = 10.0
"""How long an open loop waits for the answers to what it has sent."""
_GRAIN_S = 0.0001
"""An open loop does not sleep for less: what falls due meanwhile is sent together."""
_RESTED_S = 1.0
"""A connection that was unused for so long may be one that the server closes as idle."""
_FAST_RATE = 5_000.0
_FAST_GRAIN_S = 0.0005
"""Above that rate an answer does not wake the generator either: it would do little but wake up, on
a processor that the server wants. What falls due meanwhile waits, and that counts as latency."""


class _Client:
    """Connections and request source of one run."""

    def __init__(self, spec: LoadSpec) -> None:
        template = RequestTemplate(f"{spec.host}:{spec.port}", spec.path, spec.values, spec.body)
        self._encode = template.numbered
        self._numbers = numbers(spec)
        self.spec = spec
        self.recorder = Recorder(spec.slo_s)
        self.pool = Pool(spec.host, spec.port, spec.connections)

    def send(self, connection: Connection, since_s: float) -> None:
        """Send the next request; latency counts from ``since_s``."""
        connection.number = next(self._numbers)
        connection.since_s = since_s
        request = self._encode(connection.number)
        try:
            self.pool.send(connection, request)
        except OSError:
            # The server closed it while it was idle: a new connection, and the same request.
            self.pool.renew(connection)
            self.pool.send(connection, request)

    def receive(self, connection: Connection) -> bool:
        """Read; return whether the connection is free for the next request."""
        try:
            reply = self.pool.receive(connection)
        except OSError:
            return self._lost(connection)
        if reply is None:
            return False
        connection.free_s = time.perf_counter()
        latency_s = connection.free_s - connection.since_s
        self.recorder.answered(latency_s, reply.good, reply.default)
        if self.spec.verify and not self._right(connection, reply):
            self.recorder.wrong += 1
        return True

    def _lost(self, connection: Connection) -> bool:
        """Renew a connection that the server closed; return whether it is free.

        A request that crossed the close of a connection at rest goes out once more, as pools of
        HTTP clients send it; the time that this takes counts. When that one is lost, too, or on any
        other connection, it is an error.
        """
        crossed = connection.since_s - connection.free_s > _RESTED_S and not connection.data
        if not self.pool.renew(connection):
            return False
        if crossed:
            self.recorder.resent += 1
            self.pool.send(connection, self._encode(connection.number))
            return False
        self.recorder.broken()
        return True

    def _right(self, connection: Connection, reply: Reply) -> bool:
        if reply.default or not reply.good:
            return True  # counted as what it is
        return whole_output(connection.data) == connection.number


def numbers(spec: LoadSpec) -> Iterator[int]:
    """Yield which input each request has."""
    if spec.inputs == Inputs.SAME:
        return itertools.repeat(0)
    if spec.inputs == Inputs.ZIPF:
        drawn = zipf_numbers(spec.keys, spec.zipf_exponent, spec.seed)
        return (spec.first_number + number for number in drawn)
    return itertools.count(spec.first_number)


def closed_loop(spec: LoadSpec) -> Summary:
    """Keep every connection busy for the duration."""
    client, now = _Client(spec), time.perf_counter
    for connection in client.pool.connections:
        client.send(connection, now())
    _answer_until(client, now() + spec.warmup_s)
    client.recorder = Recorder(spec.slo_s)
    started_s, started_cpu_s = now(), time.process_time()
    _answer_until(client, started_s + spec.duration_s)
    elapsed_s, cpu_s = now() - started_s, time.process_time() - started_cpu_s
    client.pool.close()
    return client.recorder.summary(elapsed_s, cpu_s / elapsed_s)


def _answer_until(client: _Client, end_s: float) -> None:
    now = time.perf_counter
    while (left_s := end_s - now()) > 0:
        for connection in client.pool.wait(left_s):
            if client.receive(connection):
                client.send(connection, now())


def open_loop(spec: LoadSpec) -> Summary:
    """Send each request when it is due, on a free connection, or as soon as one is free.

    On the one that was used last, as the pools of HTTP clients do.
    """
    client, now = _Client(spec), time.perf_counter
    free = list(client.pool.connections)
    due: collections.deque[float] = collections.deque()
    lags_s: list[float] = []
    moments = arrivals(spec.rate, spec.duration_s, spec.seed, spec.cv)
    next_s = next(moments, math.inf)
    wait, receive, send = client.pool.wait, client.receive, client.send
    fast = spec.rate > _FAST_RATE
    started_s, started_cpu_s = now(), time.process_time()
    give_up_s = spec.duration_s + _STRAGGLERS_S
    while True:
        moment_s = now() - started_s
        while next_s <= moment_s:
            due.append(started_s + next_s)
            lags_s.append(moment_s - next_s)
            next_s = next(moments, math.inf)
        while due and free:
            send(free.pop(), due.popleft())
        if next_s == math.inf and (len(free) == spec.connections or moment_s > give_up_s):
            break
        if fast:
            time.sleep(_FAST_GRAIN_S)
            ready = wait(0)
        else:
            ready = wait(max(_GRAIN_S, min(next_s - moment_s, 0.01)))
        free += [connection for connection in ready if receive(connection)]
    elapsed_s, cpu_s = now() - started_s, time.process_time() - started_cpu_s
    client.recorder.errors += len(due) + spec.connections - len(free)
    client.pool.close()
    return client.recorder.summary(spec.duration_s, cpu_s / elapsed_s, lags_s)


def run(spec: LoadSpec) -> Summary:
    """Do one run in this process, or with ``wrk`` where it can."""
    if spec.rate:
        return open_loop(spec)
    if wrk.can_do(spec):
        return wrk.closed_loop(spec)
    return closed_loop(spec)


def main() -> None:
    """Serve runs until standard input ends."""
    ask_for_short_slices()
    for line in sys.stdin:
        summary = run(LoadSpec(**json.loads(line)))
        print(json.dumps(dataclasses.asdict(summary)), flush=True)


if __name__ == "__main__":
    main()
