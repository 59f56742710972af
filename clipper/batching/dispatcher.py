"""One dispatcher for each replica: takes batches from the model's queue and sends them.

The dispatcher is driven by events (work was queued, a credit came, a reply came, a timer fired);
every event ends in `pump`, the only place that sends. It decides with pure objects: the
batch-size policy, the latency model, the queue. All of it belongs to the event loop's thread.

When is a second batch sent while one is being computed? Just before the first is expected to be
done, or at once when the queue fills a batch that will be in time: earlier would only freeze its
contents, and what arrives meanwhile would have to wait one batch longer.
"""

from __future__ import annotations

import functools

from clipper.batching.lag import SendLead
from clipper.batching.lane import DispatcherLane
from clipper.batching.latency import LatencyModel, TransferFloor
from clipper.batching.margin import Margin
from clipper.batching.outstanding import Outstanding
from clipper.batching.policy import BatchObservation, BatchSizePolicy
from clipper.batching.ports import BatchResult, ReplicaPort
from clipper.batching.queue import ModelQueue
from clipper.batching.task import PredictTask
from clipper.batching.wake import Wake
from clipper.batching.watchdog import Watchdog
from clipper.datatypes import DefaultReason

LEAD_SHARE = 0.4
"""Of the time of a batch of one: the most that the next batch may leave ahead of time."""
SIZE_LEAD_SHARE = 0.4
"""Of the time that its size adds to a batch: so much more ahead of its end the next may leave."""

GATHER_SHARE = 0.2
"""Of the objective of a batch: the most that one waits for returns. Nobody looks at the queue
meanwhile, and somebody with less time may come."""

WORTH_A_TURN_S = 0.0005
"""A model whose batches take longer is not left idle while the answers of a batch are handed out,
when those who were answered before have asked again and wait to be read. That costs a turn of the
event loop, some tens of microseconds."""


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
        self._lead = SendLead()
        self._margin = Margin()
        self.suspect = False
        self.draining = False
        self._queue = queue
        self._lane = lane
        self._clock = lane.clock
        self._settings = lane.settings
        self._outstanding: dict[int, Outstanding] = {}
        self._alone = 0
        """Outstanding batches that nothing may accompany."""
        self._watchdog = Watchdog(lane.clock, lane.settings, self._outstanding, self._is_late)
        self._wake = Wake(lane.clock, self.pump, may_read=lambda: bool(self._outstanding))
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
            and not self._alone
        )

    @property
    def holding(self) -> bool:
        """Whether a timer is set for the next batch, and what is queued does not call for it."""
        queue = self._queue
        if self._wake.call is None or len(queue) >= self.policy.cap:
            return False
        return bool(self._outstanding) or not queue.returns.complete

    def pump(self) -> None:
        """Send the next batch if there is one and it is time; otherwise arrange to be called."""
        if self._closed:
            return
        if len(self._queue) and self.can_send:
            wait_s = self._wait_s()
            if wait_s > 0:
                self._wake.within(wait_s)
            else:
                self._wake.cancel()
                self._send_next()
        self._signal()

    def batch_answered(self, batch_id: int, result: BatchResult) -> None:
        """Take a reply: hand out the outputs, learn, send the next batch."""
        batch = self._outstanding.pop(batch_id, None)
        if batch is None:
            # Of an earlier registration of the version: only the credit that came with it counts.
            self.pump()
            return
        self._wake.cancel()
        self._alone -= batch.alone
        now_s = self._clock.now()
        round_trip_s = now_s - batch.sent_s
        # What a container says of itself cannot have taken longer than the whole.
        queue_s = min(result.queue_s, round_trip_s)
        compute_s = min(result.compute_s, round_trip_s)
        latency_s = round_trip_s - queue_s
        size = len(batch.tasks)
        transfer_s = self._transfer.observe_s(size, max(0.0, latency_s - compute_s))
        own_s = compute_s + transfer_s
        self.latency.observe(size, own_s)
        if batch.crowded:
            self._margin.observe(batch.tasks[0].deadline_s < now_s)
        if batch.held:
            self._lead.observe(queue_s)
        self.policy.observe(BatchObservation(size, batch.full, own_s, self._lane.objective_s))
        share = self.latency.size_share(size)
        fixed_s = None if share is None else (1.0 - share) * own_s
        returning = self._queue.returns.awaited > 0
        self._queue.returns.answered(now_s, size, fixed_s)
        self._lane.observer.answered(size, result, round_trip_s)
        if missed := batch.missed(now_s):
            self._lane.observer.missed(missed)
        self.suspect = False
        self._anchor(now_s)
        self._shared_wait_s += 0.2 * (queue_s - self._shared_wait_s)
        self.pump()
        if returning and not self._outstanding and self.latency.predict_s(1) > WORTH_A_TURN_S:
            self._clock.call_soon(functools.partial(self._hand_out_later, batch, result))
        else:
            batch.hand_out(result, self._lane.sink)

    def _hand_out_later(self, batch: Outstanding, result: BatchResult) -> None:
        """Hand out a batch whose model had nothing else to do; what came meanwhile goes first."""
        self.pump()
        batch.hand_out(result, self._lane.sink)

    def close(self, lost: bool = True) -> None:
        """Feed the replica no more and put its batches back, so that no query is lost with it.

        When the replica is ``lost``, the batch that was being computed counts as a loss for its
        tasks; the one that waited behind it cannot have been the cause.
        """
        self._closed = True
        self._wake.cancel()
        self._watchdog.stop()
        batches = sorted(self._outstanding.values(), key=lambda batch: batch.sent_s)
        self._outstanding.clear()
        for position, batch in enumerate(batches):
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
        queue = self._queue
        if not self.replica.holds_credits:
            return 0.0
        cap = self.policy.cap
        now_s = leave_s = self._clock.now()
        if self._outstanding:
            if not self.latency.trained:
                return 0.0
            start_s = self._start_s(now_s)
            if len(queue) >= cap:
                head = queue.head()
                if head is None or head.deadline_s >= self._answered_s(start_s, cap):
                    return 0.0
            leave_s = start_s - self._lead_s()
            if leave_s > now_s:
                self._give_up_hopeless(now_s, start_s)
            leave_s = max(leave_s, self._gathered_s(start_s))
        elif not queue.returns.complete:
            leave_s = self._gathered_s(queue.returns.answered_s)
        if self._settings.batch_wait_s and len(queue) < cap:
            head = queue.head()
            if head is not None:
                leave_s = max(leave_s, head.enqueued_s + self._settings.batch_wait_s)
        return leave_s - now_s

    def _gathered_s(self, answered_s: float) -> float:
        """Return until when to wait for those who ask again once they are answered; 0 for not.

        Only where one replica serves the queue: of several, another would take them meanwhile.
        """
        queue, returns = self._queue, self._queue.returns
        if not returns.wait_s or len(self._lane.dispatchers) > 1:
            return 0.0
        head = queue.head()
        gathered_s = answered_s + min(returns.wait_s, GATHER_SHARE * self._lane.objective_s)
        size = min(self.policy.cap, len(queue) + returns.awaited)
        if head is None or head.deadline_s < self._answered_s(gathered_s, size):
            return 0.0
        return gathered_s

    def _lead_s(self) -> float:
        """Return how long before the end of one batch the next should leave.

        Never so long that answers of the batch before cannot bring new queries in time: a container
        that looks late because its model holds the interpreter's lock would make it grow for ever.
        """
        once_s = self.latency.predict_s(1)
        largest = max((len(batch.tasks) for batch in self._outstanding.values()), default=1)
        sized_s = self.latency.predict_s(largest) - once_s
        return min(self._lead.seconds, LEAD_SHARE * once_s + SIZE_LEAD_SHARE * sized_s)

    def _give_up_hopeless(self, now_s: float, start_s: float) -> None:
        """Tell queries at once that even the next batch, were it of one, would be too late for."""
        finish_s = self._answered_s(start_s, 1)
        queue = self._queue
        while (head := queue.head()) is not None and head.deadline_s < finish_s:
            if head.deadline_s >= self._lane.others_finish_s(self, now_s, 1):
                return
            queue.discard(head)
            if self._keep(head, finish_s):
                queue.put(head, now_s)

    def _send_next(self) -> None:
        now_s = self._clock.now()
        start_s = self._start_s(now_s)
        tasks, full = self._take(now_s, start_s)
        if not tasks:
            return
        queue = self._queue
        cap = self.policy.cap
        due_s = start_s + self.latency.predict_s(len(tasks))
        demand = None
        if not self.replica.holds_credits:
            head = queue.head()
            demand = (len(queue), head.deadline_s - now_s) if head is not None else None
            self._demanded_s = head.deadline_s if head is not None else float("inf")
        slacks_s = [task.deadline_s - now_s for task in tasks]
        lag_s = self._lane.lag_s
        batch_id = self.replica.send_batch(
            [task.input for task in tasks],
            [slack_s - lag_s for slack_s in slacks_s] if lag_s else slacks_s,
            self._lane.generation,
            demand,
        )
        held = bool(self._outstanding) and tasks[0].enqueued_s < start_s - self._lead_s()
        batch = Outstanding(tasks, now_s, due_s, full, held, crowded=len(queue) > 0)
        self._outstanding[batch_id] = batch
        self._alone += batch.alone
        trained = self.latency.trained
        self._watchdog.watch(batch, due_s - now_s if trained else self._lane.objective_s)
        self._lane.observer.sent([now_s - task.enqueued_s for task in tasks], slacks_s, cap)
        if len(queue):
            self._lane.wake()

    def finish_s(self, now_s: float, size: int) -> float:
        """Return when a batch that was sent now would be answered, as far as is known."""
        return self._answered_s(self._start_s(now_s), size)

    def _start_s(self, now_s: float) -> float:
        """Return when the container would begin with a batch that was sent now."""
        start_s = now_s if self.replica.holds_credits else now_s + self._shared_wait_s
        for batch in self._outstanding.values():
            if batch.due_s > start_s:
                start_s = batch.due_s
        return start_s

    def _answered_s(self, start_s: float, size: int) -> float:
        """Return when a batch that begins then is answered: our own lag comes on top of it."""
        return start_s + self.latency.predict_s(size) + self._lane.lag_s

    def _take(self, now_s: float, start_s: float) -> tuple[list[PredictTask], bool]:
        """Pop a batch; give up on queries that no replica could answer in time.

        The head decides for all, since what lies behind it has more time. It is given up when it
        cannot wait for as large a batch as is planned, unless one hardly less efficient suits it:
        smaller ones, for its sake, would cost others their answers, and under overload there
        would be no end of that. Where another replica could still answer, it stays in the queue.

        When nothing fits, an idle replica takes the head whatever the prediction says: a
        pessimistic model of the latency would otherwise lock the replica out for ever (design
        decision 6). Where another could answer that task, it gets it too, so that the trial costs
        nobody a default.

        Returns:
            The batch, and whether the queue held as many as the policy allowed.
        """
        queue = self._queue
        cap = self.policy.cap
        planned = min(cap, len(queue))
        elsewhere_s = self._lane.others_finish_s(self, now_s, planned)
        idle = not self._outstanding
        left: list[PredictTask] = []
        probe: PredictTask | None = None
        tasks: list[PredictTask] = []
        full = False
        while (task := queue.pop()) is not None:
            size = 1 if task.runs_alone else min(cap, len(queue) + 1)
            finish_s = self._answered_s(start_s, size)
            full = size >= cap
            if len(queue) >= size or task.deadline_s < finish_s:
                # More than can be answered in time: the place is not worth a risk.
                finish_s += self._margin.share * self.latency.predict_s(size)
            if task.deadline_s >= finish_s:
                tasks.append(task)
                break
            suited = self.latency.suited(size, finish_s - task.deadline_s)
            if suited:
                size = suited
                tasks.append(task)
                break
            if task.deadline_s >= elsewhere_s:
                left.append(task)
                if idle and probe is None and not task.runs_alone:
                    probe = task
                if len(left) > planned:
                    # Enough looked through; what lies behind is not hopeless either.
                    break
            elif idle and probe is None:
                probe = task
            elif self._keep(task, finish_s):
                tasks.append(task)
                break
        if tasks:
            if probe is not None and probe not in left and self._keep(probe, finish_s):
                left.append(probe)
            self._fill(tasks, size, now_s)
            full = full and len(tasks) >= size
        elif probe is not None:
            tasks.append(probe)
            full = cap == 1
        for task in left:
            queue.put(task, now_s)
        return tasks, full

    def _fill(self, tasks: list[PredictTask], size: int, now_s: float) -> None:
        """Add to the first task what follows it in the queue, as far as it fits in one message."""
        queue = self._queue
        if tasks[0].runs_alone:
            if self._outstanding:
                queue.put(tasks.pop(), now_s)
            return
        room = self._settings.max_batch_bytes - len(tasks[0].input)
        while len(tasks) < size and (task := queue.pop()) is not None:
            room -= len(task.input)
            if room < 0 or task.runs_alone:
                queue.put(task, now_s)
                break
            tasks.append(task)

    def _keep(self, task: PredictTask, finish_s: float) -> bool:
        """Give up the waiters that cannot wait; True when others still can."""
        task.give_up_before(finish_s)
        if task.refresh():
            return True
        self._lane.sink.failed(task, DefaultReason.SLO, "")
        return False

    def _is_late(self) -> None:
        """Stop feeding a replica that is late; offer its queries to the others in time."""
        self.suspect = True
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
