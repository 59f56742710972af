"""One dispatcher for each replica: takes batches from the model's queue and sends them.

The dispatcher is driven by events (work was queued, a credit came, a reply came, a timer fired);
every event ends in `pump`, the only place that sends. It decides with pure objects: the
batch-size policy, the latency model, the queue. All of it belongs to the event loop's thread.

When is a second batch sent while one is being computed? Just before the first is expected to be
done, or at once when the queue fills a batch: earlier would only freeze its contents, and what
arrives meanwhile would have to wait one batch longer.
"""

from __future__ import annotations

from clipper.batching.lane import DispatcherLane
from clipper.batching.latency import LatencyModel, TransferFloor
from clipper.batching.policy import BatchObservation, BatchSizePolicy
from clipper.batching.ports import BatchResult, ReplicaPort
from clipper.batching.queue import ModelQueue
from clipper.batching.task import PredictTask
from clipper.clock import Cancellable
from clipper.datatypes import DefaultReason


class _Outstanding:
    __slots__ = ("alone", "due_s", "full", "late_timer", "sent_s", "tasks")

    def __init__(self, tasks: list[PredictTask], sent_s: float, due_s: float, full: bool) -> None:
        self.tasks = tasks
        self.sent_s = sent_s
        self.due_s = due_s
        self.full = full
        self.alone = len(tasks) == 1 and tasks[0].runs_alone
        self.late_timer: Cancellable | None = None


class Dispatcher:
    """Feeds one replica from the queue of its model version."""

    def __init__(
        self,
        replica: ReplicaPort,
        queue: ModelQueue,
        policy: BatchSizePolicy,
        lane: DispatcherLane,
    ) -> None:
        self.replica = replica
        self.policy = policy
        self.latency = LatencyModel()
        self._transfer = TransferFloor()
        self.suspect = False
        self.draining = False
        self._queue = queue
        self._lane = lane
        self._clock = lane.clock
        self._settings = lane.settings
        self._outstanding: dict[int, _Outstanding] = {}
        self._wake: Cancellable | None = None
        self._wake_s = float("inf")
        self._demanded_s = float("inf")
        self._shared_wait_s = 0.0
        """Recent wait behind other frontends' batches, which this one cannot see."""
        self._closed = False

    @property
    def outstanding(self) -> int:
        """Batches sent and not yet answered."""
        return len(self._outstanding)

    @property
    def can_send(self) -> bool:
        """Whether a batch could leave now, were there one."""
        return (
            self.replica.credits > 0
            and not (self.suspect or self.draining or self._closed)
            and not any(batch.alone for batch in self._outstanding.values())
        )

    def pump(self) -> None:
        """Send the next batch if there is one and it is time; otherwise arrange to be called."""
        if self._closed:
            return
        if self.can_send:
            wait_s = self._wait_s()
            if wait_s > 0:
                self._wake_in(wait_s)
            else:
                self._send_next()
        self._signal()

    def batch_answered(self, batch_id: int, result: BatchResult) -> None:
        """Take a reply: hand out the outputs, learn, send the next batch."""
        batch = self._outstanding.pop(batch_id, None)
        if batch is None:
            # Of an earlier registration of the version: only the credit that came with it counts.
            self.pump()
            return
        self._cancel_late(batch)
        now_s = self._clock.now()
        round_trip_s = now_s - batch.sent_s
        # What a container says of itself cannot have taken longer than the whole.
        queue_s = min(result.queue_s, round_trip_s)
        compute_s = min(result.compute_s, round_trip_s)
        latency_s = round_trip_s - queue_s
        size = len(batch.tasks)
        self.latency.observe(size, latency_s)
        transfer_s = self._transfer.observe_s(size, max(0.0, latency_s - compute_s))
        own_s = compute_s + transfer_s
        self.policy.observe(BatchObservation(size, batch.full, own_s, self._lane.objective_s))
        self._lane.observer.answered(size, result, round_trip_s)
        self.suspect = False
        self._anchor(now_s)
        self._shared_wait_s += 0.2 * (queue_s - self._shared_wait_s)
        self.pump()
        sink = self._lane.sink
        for index, task in enumerate(batch.tasks):
            error = result.errors.get(index) if result.errors else None
            if error is None:
                sink.completed(task, result.outputs[index])
            else:
                sink.failed(task, DefaultReason.MODEL_ERROR, error)

    def close(self, lost: bool = True) -> None:
        """Feed the replica no more and put its batches back, so that no query is lost with it.

        When the replica is ``lost``, the batch that was being computed counts as a loss for its
        tasks; the one that waited behind it cannot have been the cause.
        """
        self._closed = True
        self._cancel_wake()
        batches = sorted(self._outstanding.values(), key=lambda batch: batch.sent_s)
        self._outstanding.clear()
        for position, batch in enumerate(batches):
            self._cancel_late(batch)
            for task in batch.tasks:
                self._put_back(task, lost=lost and position == 0, alone=batch.alone)

    def _anchor(self, now_s: float) -> None:
        """What is still outstanding starts now: without this, errors of predictions add up."""
        for batch in self._outstanding.values():
            batch.due_s = now_s + self.latency.predict_s(len(batch.tasks))

    def _put_back(self, task: PredictTask, lost: bool, alone: bool) -> None:
        if task.settled:
            return
        if task.queued:
            task.losses += lost
            return
        task.stranded = False
        if lost and alone:
            self._lane.sink.failed(
                task,
                DefaultReason.MODEL_ERROR,
                f"the model container died {task.losses + 1} times while computing this input",
            )
            return
        task.losses += lost
        if task.refresh():
            self._queue.put(task, self._clock.now())
        else:
            self._lane.sink.failed(task, DefaultReason.SLO, "")

    def _wait_s(self) -> float:
        """Return how long it is better to wait before the next batch leaves."""
        queued = len(self._queue)
        if queued == 0 or queued >= self.policy.cap or not self.replica.holds_credits:
            return 0.0
        now_s = self._clock.now()
        if self._outstanding:
            if not self.latency.trained:
                return 0.0
            due_s = max(batch.due_s for batch in self._outstanding.values())
            return due_s - self._lead_s() - now_s
        head = self._queue.head()
        if head is None or not self._settings.batch_wait_s:
            return 0.0
        return head.enqueued_s + self._settings.batch_wait_s - now_s

    def _lead_s(self) -> float:
        """Return how long before the end of one batch the next should leave."""
        return 0.0005 + 0.1 * self.latency.predict_s(1)

    def _send_next(self) -> None:
        now_s = self._clock.now()
        planned = min(self.policy.cap, len(self._queue))
        finish_s = self.finish_s(now_s, planned)
        tasks = self._take(now_s, finish_s, planned)
        if not tasks:
            return
        queue = self._queue
        head = queue.head() if not self.replica.holds_credits else None
        demand = (len(queue), head.deadline_s - now_s) if head is not None else None
        self._demanded_s = head.deadline_s if head is not None else float("inf")
        slacks_s = [task.deadline_s - now_s for task in tasks]
        batch_id = self.replica.send_batch(
            [task.input for task in tasks], slacks_s, self._lane.generation, demand
        )
        batch = _Outstanding(tasks, now_s, finish_s, len(tasks) >= self.policy.cap)
        self._outstanding[batch_id] = batch
        self._watch(batch, finish_s - now_s)
        self._lane.observer.sent(
            [now_s - task.enqueued_s for task in tasks], slacks_s, self.policy.cap
        )
        if len(queue):
            self._lane.wake()

    def finish_s(self, now_s: float, size: int) -> float:
        """Return when a batch that was sent now would be answered, as far as is known."""
        behind_s = max((b.due_s - now_s for b in self._outstanding.values()), default=0.0)
        if not self.replica.holds_credits:
            behind_s = max(behind_s, self._shared_wait_s)
        return now_s + max(0.0, behind_s) + self.latency.predict_s(size)

    def _take(self, now_s: float, finish_s: float, planned: int) -> list[PredictTask]:
        """Pop a batch; give up on queries that no replica could answer in time.

        Those that another replica could still answer stay in the queue. An idle replica takes the
        first task whatever the prediction says: a pessimistic model of the latency would otherwise
        lock the replica out for ever (design decision 6). Where another could answer that task, it
        gets it too, so that the trial costs nobody a default.
        """
        elsewhere_s = self._lane.others_finish_s(self, now_s, planned)
        left: list[PredictTask] = []
        tasks: list[PredictTask] = []
        room = self._settings.max_batch_bytes
        queue = self._queue
        while len(tasks) < self.policy.cap:
            task = queue.pop()
            if task is None:
                break
            probe = not tasks and not self._outstanding
            if task.deadline_s < finish_s:
                if task.deadline_s >= elsewhere_s:
                    left.append(task)
                    if len(left) > planned:
                        # Enough looked through; what lies behind is not hopeless either.
                        break
                    if not probe or task.runs_alone:
                        continue
                elif not probe and not self._keep(task, finish_s):
                    continue
            if tasks and (len(task.input) > room or task.runs_alone):
                queue.put(task, now_s)
                break
            if task.runs_alone and self._outstanding:
                queue.put(task, now_s)
                break
            tasks.append(task)
            room -= len(task.input)
            if task.runs_alone:
                break
        for task in left:
            queue.put(task, now_s)
        return tasks

    def _keep(self, task: PredictTask, finish_s: float) -> bool:
        """Give up the waiters that cannot wait; True when others still can."""
        task.give_up_before(finish_s)
        if task.refresh():
            return True
        self._lane.sink.failed(task, DefaultReason.SLO, "")
        return False

    def _watch(self, batch: _Outstanding, predicted_s: float) -> None:
        expected_s = predicted_s if self.latency.trained else self._lane.objective_s
        delay_s = max(self._settings.late_factor * expected_s, self._settings.late_floor_s)
        batch.late_timer = self._clock.call_later(delay_s, lambda: self._late(batch))

    def _late(self, batch: _Outstanding) -> None:
        """Stop feeding the replica; offer its queries to the others while they can be in time."""
        batch.late_timer = None
        self.suspect = True
        for task in batch.tasks:
            # Once only: an input on which user code hangs must not take every replica in turn.
            task.stranded = not (task.queued or task.offered)
        self._lane.rescue()

    def offer_stranded(self) -> None:
        """Put back what this replica is late with, for another one; its own answer still counts."""
        if not self.suspect:
            return
        for batch in self._outstanding.values():
            for task in batch.tasks:
                if task.stranded and not task.settled and task.refresh():
                    task.stranded, task.offered = False, True
                    self._queue.put(task, self._clock.now())

    def _signal(self) -> None:
        """With several frontends on one replica: ask for credits, or give unused ones back."""
        if self.replica.holds_credits or self.draining:
            return
        head = self._queue.head()
        if head is None or (self.replica.credits and not self.can_send):
            self._demanded_s = float("inf")
            if self.replica.credits:
                self.replica.return_credits()
        elif not self.replica.credits and head.deadline_s < self._demanded_s:
            self._demanded_s = head.deadline_s
            self.replica.send_demand(len(self._queue), head.deadline_s - self._clock.now())

    def _wake_in(self, delay_s: float) -> None:
        wake_s = self._clock.now() + delay_s
        if self._wake is not None:
            if self._wake_s <= wake_s:
                return
            self._wake.cancel()
        self._wake_s = wake_s
        self._wake = self._clock.call_later(delay_s, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self.pump()

    def _cancel_wake(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    @staticmethod
    def _cancel_late(batch: _Outstanding) -> None:
        if batch.late_timer is not None:
            batch.late_timer.cancel()
