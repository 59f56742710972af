"""One model version under a virtual clock: queue, lane, dispatchers, replicas and its clients."""

from __future__ import annotations

import array
import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterable

from benchmarks.recorder import percentile
from benchmarks.simulation.clock import EventClock
from benchmarks.simulation.reference import FifoQueue, LazyDispatcher
from benchmarks.simulation.replica import SimulatedReplica
from clipper.batching.dispatcher import Dispatcher
from clipper.batching.lane import DispatcherLane
from clipper.batching.policy import BatchObservation, BatchSizePolicy
from clipper.batching.ports import BatchResult, DispatchSettings
from clipper.batching.queue import ModelQueue
from clipper.batching.task import PredictTask
from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.outputs import Output

_MODEL = VersionedModelId("simulated", "1")
_OUTPUT = Output(b"1.0", b"1.0")
NEVER_S = 1e6
"""Deadlines so far away that they decide nothing."""


class Client:
    """A query that waits; implements `Waiter`."""

    __slots__ = ("arrived_s", "deadline_s", "done", "record", "task")

    def __init__(self, arrived_s: float, deadline_s: float, record: Record) -> None:
        self.arrived_s = arrived_s
        self.deadline_s = deadline_s
        self.record = record
        self.done = False
        self.task: PredictTask

    def arrived(self, model: VersionedModelId, output: Output) -> None:
        """It has its answer."""
        if not self.done:
            self.done = True
            self.record.answered(self.arrived_s)

    def missed(self, model: VersionedModelId, reason: DefaultReason, detail: str) -> None:
        """It gets its default."""
        if not self.done:
            self.done = True
            self.record.defaulted(self.arrived_s)


class Record:
    """What the clients of one run saw, from ``since_s`` on."""

    def __init__(self, clock: EventClock) -> None:
        self.since_s = 0.0
        self.latencies_s = array.array("d")
        """Of answers and defaults alike: both are replies."""
        self.defaults = 0
        self.on_reply: Callable[[], None] = lambda: None
        """Called with each reply, a default or not."""
        self._clock = clock

    def answered(self, arrived_s: float) -> None:
        """Count an answer; those after their deadline were counted as defaults before."""
        if arrived_s >= self.since_s:
            self.latencies_s.append(self._clock.now() - arrived_s)
        self.on_reply()

    def defaulted(self, arrived_s: float) -> None:
        """Count a default."""
        if arrived_s >= self.since_s:
            self.latencies_s.append(self._clock.now() - arrived_s)
            self.defaults += 1
        self.on_reply()


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """One run. Times in seconds, rates per second."""

    queries: int
    p50_s: float
    p99_s: float
    default_share: float
    goodput: float
    batches: int
    mean_batch: float
    busy: float
    """Share of the time in which a replica computed."""


class _Sink:
    """Settles tasks as the executor does."""

    def __init__(self, queue: Callable[[], ModelQueue | FifoQueue]) -> None:
        self._queue = queue

    def completed(self, task: PredictTask, text: bytes) -> None:
        if not task.settled:
            task.settled = True
            self._queue().discard(task)
            for waiter in task.waiters:
                waiter.arrived(task.model, _OUTPUT)

    def failed(self, task: PredictTask, reason: DefaultReason, detail: str) -> None:
        if not task.settled:
            task.settled = True
            self._queue().discard(task)
            for waiter in task.waiters:
                waiter.missed(task.model, reason, detail)


class _Unobserved:
    def sent(self, queue_waits_s: list[float], slacks_s: list[float], cap: int) -> None:
        pass

    def answered(self, size: int, result: BatchResult, round_trip_s: float) -> None:
        pass

    def missed(self, count: int) -> None:
        pass


class PolicyLog(BatchSizePolicy):
    """Writes down what a policy decided after each batch."""

    def __init__(self, policy: BatchSizePolicy, clock: EventClock) -> None:
        self._policy = policy
        self._clock = clock
        self.caps: list[int] = []
        self.times_s: list[float] = []
        self.batches: list[BatchObservation] = []

    @property
    def cap(self) -> int:
        """The policy's."""
        return self._policy.cap

    def observe(self, batch: BatchObservation) -> None:
        """Pass on and write down."""
        self._policy.observe(batch)
        self.batches.append(batch)
        self.caps.append(self._policy.cap)
        self.times_s.append(self._clock.now())


class Bench:
    """One model version and its replicas, as a frontend worker joins them."""

    def __init__(
        self, slo_s: float, settings: DispatchSettings | None = None, fifo: bool = False
    ) -> None:
        """``fifo``: not our queue and dispatcher but those of `reference`."""
        self.clock = EventClock()
        self.record = Record(self.clock)
        self.slo_s = slo_s
        self.queue: ModelQueue | FifoQueue = (
            FifoQueue()
            if fifo
            else ModelQueue(lambda task: self.sink.failed(task, DefaultReason.SLO, ""))
        )
        self.sink = _Sink(lambda: self.queue)
        self.lane = DispatcherLane(
            self.clock, settings or DispatchSettings(), self.sink, _Unobserved(), generation=1
        )
        self.lane.set_slo(slo_s)
        self.replicas: list[SimulatedReplica] = []
        self.logs: list[PolicyLog] = []
        self._lines: dict[float, deque[Client]] = {}

    def replica(
        self,
        policy: BatchSizePolicy,
        seconds: Callable[[int, float], float],
        depth: int = 2,
        transfer_s: float = 0.0,
    ) -> PolicyLog:
        """Add a replica; return the log of its policy."""
        log = PolicyLog(policy, self.clock)
        replica = SimulatedReplica(self.clock, seconds, depth, transfer_s)
        dispatcher = (
            LazyDispatcher(replica, self.queue, log, self.lane)
            if isinstance(self.queue, FifoQueue)
            else Dispatcher(replica, self.queue, log, self.lane)
        )
        replica.taker = dispatcher
        self.replicas.append(replica)
        self.lane.dispatchers.append(dispatcher)
        self.logs.append(log)
        return log

    def query(self, slo_s: float) -> None:
        """A query arrives now."""
        now_s = self.clock.now()
        client = Client(now_s, now_s + slo_s, self.record)
        client.task = PredictTask(_MODEL, b"x", None, [client], client.deadline_s)
        line = self._lines.get(slo_s)
        if line is None:
            line = self._lines[slo_s] = deque()
        if not line:
            self.clock.call_later(slo_s, lambda: self._expire(line))
        line.append(client)
        self.queue.put(client.task, now_s)
        self.lane.wake()

    def open_loop(
        self,
        arrivals_s: Iterable[float],
        until_s: float,
        slos_s: Callable[[], float] | None = None,
    ) -> None:
        """Let queries come at the given times, each with the next of ``slos_s``."""
        if slos_s is None:
            self.clock.run(until_s, arrivals_s, lambda: self.query(self.slo_s))
        else:
            self.clock.run(until_s, arrivals_s, lambda: self.query(slos_s()))

    def closed_loop(self, clients: int, back_s: Callable[[], float], until_s: float) -> None:
        """Let so many clients ask, and ask again ``back_s()`` after each reply."""

        def ask() -> None:
            self.query(self.slo_s)

        self.record.on_reply = lambda: self.clock.call_later(back_s(), ask)
        for _ in range(clients):
            ask()
        self.clock.run(until_s)

    def saturate(self, until_s: float, done: Callable[[], bool] = lambda: False) -> None:
        """Keep the queue so full that every batch can be; nothing has a deadline."""

        def refill() -> None:
            want = 2 * max(log.cap for log in self.logs) + 8
            now_s = self.clock.now()
            for _ in range(want - len(self.queue)):
                client = Client(now_s, now_s + NEVER_S, self.record)
                self.queue.put(PredictTask(_MODEL, b"x", None, [client], client.deadline_s), now_s)
            self.lane.wake()

        refill()
        while self.clock.now() < until_s and not done():
            step_s = max(1e-4, self.lane.objective_s / 20)
            self.clock.run(min(until_s, self.clock.now() + step_s))
            refill()

    def outcome(self, until_s: float) -> Outcome:
        """Sum up what was recorded since `Record.since_s`; ``until_s`` ends the arrivals."""
        since_s = self.record.since_s
        ordered = sorted(self.record.latencies_s)
        computed = [
            batch for replica in self.replicas for batch in replica.computed if batch[0] >= since_s
        ]
        count = len(ordered)
        defaults = self.record.defaults
        span_s = until_s - since_s
        return Outcome(
            queries=count,
            p50_s=percentile(ordered, 0.50),
            p99_s=percentile(ordered, 0.99),
            default_share=defaults / count if count else math.nan,
            goodput=(count - defaults) / span_s,
            batches=len(computed),
            mean_batch=sum(size for _, size, _ in computed) / max(1, len(computed)),
            busy=sum(seconds for _, _, seconds in computed) / span_s / len(self.replicas),
        )

    def _expire(self, line: deque[Client]) -> None:
        now_s = self.clock.now()
        while line and (line[0].done or line[0].deadline_s <= now_s):
            client = line.popleft()
            if not client.done:
                client.missed(_MODEL, DefaultReason.SLO, "")
                if client.task.queued:
                    self.queue.discard(client.task)
        if line:
            self.clock.call_later(line[0].deadline_s - now_s, lambda: self._expire(line))
