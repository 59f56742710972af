"""The queue of one model version: earliest deadline first, shared by all its replicas.

A task's place follows its earliest waiter that is still alive. The heap holds stale entries where
a deadline changed or a task was removed; an entry counts only if its task is queued and the
deadline is still the task's own. Pure: times come in as arguments.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from clipper.batching.returns import Returns
from clipper.batching.task import PredictTask

_COMPACT_AT = 1024


class ModelQueue:
    """Tasks that wait for a replica."""

    def __init__(self, on_dead: Callable[[PredictTask], None]) -> None:
        """``on_dead`` is told of each task that left the queue because nobody waits for it."""
        self._heap: list[tuple[float, int, PredictTask]] = []
        self._order = itertools.count()
        self._queued = 0
        self._on_dead = on_dead
        self.returns = Returns()
        """Told of each arrival."""

    def __len__(self) -> int:
        return self._queued

    def put(self, task: PredictTask, now_s: float) -> None:
        """Add a task; one that was lost with its replica keeps the time it was first queued."""
        if not task.enqueued_s:
            task.enqueued_s = now_s
            if now_s <= self.returns.window_end_s:
                self.returns.arrived()
        task.queued = True
        self._queued += 1
        heapq.heappush(self._heap, (task.deadline_s, next(self._order), task))

    def expedite(self, task: PredictTask) -> None:
        """Move a queued task forward after a waiter with an earlier deadline joined it."""
        heapq.heappush(self._heap, (task.deadline_s, next(self._order), task))

    def discard(self, task: PredictTask) -> None:
        """Take a task out because nobody waits for it any more."""
        if not task.queued:
            return
        task.queued = False
        self._queued -= 1
        if len(self._heap) > _COMPACT_AT and len(self._heap) > 2 * self._queued:
            self._heap = [entry for entry in self._heap if self._counts(entry)]
            heapq.heapify(self._heap)

    def head(self) -> PredictTask | None:
        """Return the most urgent task without taking it."""
        while self._heap:
            entry = self._heap[0]
            if not self._counts(entry):
                heapq.heappop(self._heap)
            elif self._is_current(entry[2]):
                return entry[2]
        return None

    def pop(self) -> PredictTask | None:
        """Take the most urgent task."""
        while heap := self._heap:
            deadline_s, _, task = heap[0]
            if not task.queued or deadline_s != task.deadline_s:
                heapq.heappop(heap)
            elif self._is_current(task):
                heapq.heappop(heap)
                task.queued = False
                self._queued -= 1
                return task
        return None

    def drain(self) -> list[PredictTask]:
        """Take everything, most urgent first."""
        tasks = []
        while (task := self.pop()) is not None:
            tasks.append(task)
        return tasks

    def _counts(self, entry: tuple[float, int, PredictTask]) -> bool:
        return entry[2].queued and entry[0] == entry[2].deadline_s

    def _is_current(self, task: PredictTask) -> bool:
        """Bring the head's deadline up to date; False when the heap's head has changed."""
        waiters = task.waiters
        if len(waiters) == 1 and not waiters[0].done:
            return True
        before_s = task.deadline_s
        if not task.refresh():
            heapq.heappop(self._heap)
            task.queued = False
            self._queued -= 1
            self._on_dead(task)
            return False
        if task.deadline_s != before_s:
            heapq.heapreplace(self._heap, (task.deadline_s, next(self._order), task))
            return False
        return True
