"""Waiters, tasks and a bench of dispatchers under a virtual clock."""

from __future__ import annotations

from clipper.batching.dispatcher import Dispatcher
from clipper.batching.fixed import FixedPolicy
from clipper.batching.lag import LagEstimate
from clipper.batching.lane import DispatcherLane
from clipper.batching.policy import BatchSizePolicy
from clipper.batching.ports import DispatchSettings
from clipper.batching.queue import ModelQueue
from clipper.batching.task import PredictTask
from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.outputs import Output
from tests.fakes.fake_replica import FakeReplica
from tests.fakes.virtual_clock import VirtualClock

MODEL = VersionedModelId("m", "1")


class FakeWaiter:
    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.done = False
        self.reasons: list[tuple[DefaultReason, str]] = []

    def arrived(self, model: VersionedModelId, output: Output) -> None:
        self.done = True

    def missed(self, model: VersionedModelId, reason: DefaultReason, detail: str) -> None:
        self.done = True
        self.reasons.append((reason, detail))


class FakeSink:
    """Records outcomes and settles tasks as the executor does."""

    def __init__(self) -> None:
        self.outputs: dict[bytes, bytes] = {}
        self.failures: dict[bytes, tuple[DefaultReason, str]] = {}

    def completed(self, task: PredictTask, text: bytes) -> None:
        if not task.settled:
            task.settled = True
            self.outputs[task.input] = text

    def failed(self, task: PredictTask, reason: DefaultReason, detail: str) -> None:
        if not task.settled:
            task.settled = True
            self.failures[task.input] = (reason, detail)


def task(name: str, deadline_s: float) -> PredictTask:
    return PredictTask(MODEL, name.encode(), None, [FakeWaiter(deadline_s)], deadline_s)


class Observer:
    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.queue_waits_s: list[float] = []
        self.misses = 0

    def sent(self, queue_waits_s: list[float], slacks_s: list[float], cap: int) -> None:
        self.sizes.append(len(queue_waits_s))
        self.queue_waits_s += queue_waits_s

    def answered(self, size: int, result: object, round_trip_s: float) -> None:
        pass

    def missed(self, count: int) -> None:
        self.misses += count


class Bench:
    """One model version with its queue, lane and replicas."""

    def __init__(self, lag: LagEstimate | None = None, **settings: float) -> None:
        self.lag = lag or LagEstimate()
        self.clock = VirtualClock()
        self.sink = FakeSink()
        self.observer = Observer()
        self.lane = DispatcherLane(
            self.clock,
            DispatchSettings(**settings),  # type: ignore[arg-type]
            self.sink,
            self.observer,
            generation=7,
            lag=self.lag,
        )
        self.lane.set_slo(0.1)
        self.queue = ModelQueue(lambda item: self.sink.failed(item, DefaultReason.SLO, ""))

    def replica(
        self, policy: BatchSizePolicy | None = None, replica: FakeReplica | None = None
    ) -> FakeReplica:
        replica = replica or FakeReplica()
        dispatcher = Dispatcher(replica, self.queue, policy or FixedPolicy(10), self.lane)
        replica.dispatcher = dispatcher
        self.lane.dispatchers.append(dispatcher)
        return replica

    def put(self, name: str, slo_s: float = 0.1) -> PredictTask:
        item = task(name, self.clock.now() + slo_s)
        self.queue.put(item, self.clock.now())
        self.lane.wake()
        return item

    def train(self, replica: FakeReplica, latency_s: float, rounds: int = 10) -> None:
        """Have the replica answer lone queries after ``latency_s`` each."""
        for number in range(rounds):
            self.put(f"train{number}", slo_s=1000.0)
            self.clock.settle()
            self.clock.advance(latency_s)
            replica.answer()

    def lose(self, replica: FakeReplica) -> None:
        assert replica.dispatcher is not None
        self.lane.dispatchers.remove(replica.dispatcher)
        replica.dispatcher.close()
        self.lane.wake()


def inputs(replica: FakeReplica) -> list[list[str]]:
    return [[item.decode() for item in batch.inputs] for batch in replica.sent]


def slow_and_fast() -> tuple[Bench, FakeReplica, FakeReplica]:
    """Replicas that take 500 ms and 20 ms for a batch; the fast one computes, the slow is idle."""
    bench = Bench()
    slow = bench.replica(FixedPolicy(4))
    bench.train(slow, 0.5)
    fast = bench.replica(FixedPolicy(4))
    for number in range(5):
        bench.put(f"train fast{number}", slo_s=0.1)
        bench.clock.settle()
        bench.clock.advance(0.02)
        fast.answer()
    bench.put("computing", slo_s=0.1)
    bench.clock.settle()
    assert inputs(fast)[-1] == ["computing"]
    return bench, slow, fast
