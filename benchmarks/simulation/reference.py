"""What production code does not do: the rules of the original, to be compared with."""

from __future__ import annotations

from collections import deque

from benchmarks.simulation.replica import SimulatedReplica, SimulatedResult
from clipper.batching.lane import DispatcherLane
from clipper.batching.policy import BatchObservation, BatchSizePolicy
from clipper.batching.quantile import QUANTILE, fit_quantile_line
from clipper.batching.task import PredictTask


class OriginalAimd(BatchSizePolicy):
    """The NSDI prototype's controller (algorithms §1.12): moves from the batch actually sent."""

    def __init__(self, increase: int = 2, backoff: float = 0.9, dead_band: float = 0.1) -> None:
        self._cap = 1
        self._increase = increase
        self._backoff = backoff
        self._dead_band = dead_band

    @property
    def cap(self) -> int:
        """Largest number of queries for the next batch."""
        return self._cap

    def observe(self, batch: BatchObservation) -> None:
        """Grow, hold or cut from the size of this batch, full or not."""
        if batch.latency_s < batch.objective_s * (1 - self._dead_band):
            self._cap = batch.size + self._increase
        elif batch.latency_s < batch.objective_s:
            self._cap = batch.size
        else:
            self._cap = max(1, int(batch.size * self._backoff))


class FrozenQuantile(BatchSizePolicy):
    """The original's quantile regression: explores by AIMD, fits once, never changes again."""

    def __init__(self, samples: int) -> None:
        self._explorer = OriginalAimd()
        self._samples = samples
        self._seen: list[tuple[int, float]] = []
        self._cap = 0

    @property
    def cap(self) -> int:
        """The explorer's until the line is fitted, then the line's."""
        return self._cap or self._explorer.cap

    def observe(self, batch: BatchObservation) -> None:
        """Collect samples; fit when there are enough."""
        if self._cap:
            return
        self._explorer.observe(batch)
        self._seen.append((batch.size, batch.latency_s))
        if len(self._seen) == self._samples:
            import numpy as np

            sizes, latencies_s = np.array(self._seen).T
            offset_s, slope_s = fit_quantile_line(sizes, latencies_s, QUANTILE)
            self._cap = max(1, round((batch.objective_s - offset_s) / slope_s))


class FifoQueue:
    """First in, first out; a query leaves it only when it is served or its deadline has passed."""

    def __init__(self) -> None:
        self._tasks: deque[PredictTask] = deque()
        self._queued = 0

    def __len__(self) -> int:
        return self._queued

    def put(self, task: PredictTask, now_s: float) -> None:
        """Add a task."""
        task.enqueued_s = now_s
        task.queued = True
        self._queued += 1
        self._tasks.append(task)

    def discard(self, task: PredictTask) -> None:
        """Take a task out."""
        if task.queued:
            task.queued = False
            self._queued -= 1

    def pop(self) -> PredictTask:
        """Take the oldest; there must be one."""
        while not (task := self._tasks.popleft()).queued:
            pass
        task.queued = False
        self._queued -= 1
        return task


class LazyDispatcher:
    """Sends what is queued whenever the replica is free, and drops nothing before its deadline."""

    suspect = False
    draining = False
    holding = False

    def __init__(
        self,
        replica: SimulatedReplica,
        queue: FifoQueue,
        policy: BatchSizePolicy,
        lane: DispatcherLane,
    ) -> None:
        self.replica = replica
        self.policy = policy
        self._queue = queue
        self._lane = lane
        self._sent: dict[int, tuple[list[PredictTask], float]] = {}

    @property
    def outstanding(self) -> int:
        """Batches sent and not yet answered."""
        return len(self._sent)

    @property
    def can_send(self) -> bool:
        """Whether the replica has a credit."""
        return self.replica.credits > 0

    def finish_s(self, now_s: float, size: int) -> float:
        """It predicts nothing."""
        return now_s

    def offer_stranded(self) -> None:
        """Its replica is never late."""

    def pump(self) -> None:
        """Send what is queued, at most the cap."""
        while self.replica.credits and len(self._queue):
            size = min(self.policy.cap, len(self._queue))
            tasks = [self._queue.pop() for _ in range(size)]
            inputs = [task.input for task in tasks]
            batch_id = self.replica.send_batch(inputs, [], 0, None)
            self._sent[batch_id] = tasks, self._lane.clock.now()

    def batch_answered(self, batch_id: int, result: SimulatedResult) -> None:
        """Hand out the outputs, learn, send the next batch."""
        tasks, sent_s = self._sent.pop(batch_id)
        latency_s = self._lane.clock.now() - sent_s - result.queue_s
        self.policy.observe(
            BatchObservation(
                len(tasks), len(tasks) >= self.policy.cap, latency_s, self._lane.objective_s
            )
        )
        for task in tasks:
            self._lane.sink.completed(task, b"")
        self.pump()
