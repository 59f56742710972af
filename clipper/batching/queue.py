"""The queue of one model version: earliest deadline first, shared by all its replicas.

Tasks of one objective come in the order of their deadlines and wait in a line; those that come out
of that order, in a heap. A task's place follows its earliest waiter that is still alive: there are
stale entries where a deadline changed or a task was removed, and an entry counts only if its task
is queued and the deadline is still the task's own. Pure: times come in as arguments.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable

from clipper.batching.returns import Returns
from clipper.batching.task import PredictTask

_COMPACT_AT = 1024

_Entry = tuple[float, int, PredictTask]
"""Deadline, order of arrival among equal ones, task."""


class ModelQueue:
    """Tasks that wait for a replica."""

    def __init__(self, on_dead: Callable[[PredictTask], None]) -> None:
        """``on_dead`` is told of each task that left the queue because nobody waits for it."""
        self._line: deque[_Entry] = deque()
        self._heap: list[_Entry] = []
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
        line, entry = self._line, (task.deadline_s, next(self._order), task)
        if line and entry < line[-1]:
            heapq.heappush(self._heap, entry)
        else:
            line.append(entry)

    def expedite(self, task: PredictTask) -> None:
        """Move a queued task forward after a waiter with an earlier deadline joined it."""
        heapq.heappush(self._heap, (task.deadline_s, next(self._order), task))

    def discard(self, task: PredictTask) -> None:
        """Take a task out because nobody waits for it any more."""
        if not task.queued:
            return
        task.queued = False
        self._queued -= 1
        entries = len(self._line) + len(self._heap)
        if entries > _COMPACT_AT and entries > 2 * self._queued:
            self._line = deque(filter(_counts, self._line))
            self._heap = list(filter(_counts, self._heap))
            heapq.heapify(self._heap)

    def head(self) -> PredictTask | None:
        """Return the most urgent task without taking it."""
        while (entry := self._first()) is not None:
            if self._is_current(entry):
                return entry[2]
        return None

    def pop(self) -> PredictTask | None:
        """Take the most urgent task."""
        line = self._line
        if line and not self._heap:
            deadline_s, _, task = line[0]
            waiters = task.waiters
            # Nearly always: the first of the line, as it was put there. `_pop` knows the rest.
            usual = len(waiters) == 1 and not waiters[0].done
            if usual and task.queued and task.deadline_s == deadline_s:
                line.popleft()
                task.queued = False
                self._queued -= 1
                return task
        return self._pop()

    def drain(self) -> list[PredictTask]:
        """Take everything, most urgent first."""
        tasks = []
        while (task := self.pop()) is not None:
            tasks.append(task)
        return tasks

    def _pop(self) -> PredictTask | None:
        """Take the most urgent task, past stale entries and out of either part of the queue."""
        while (entry := self._first()) is not None:
            if self._is_current(entry):
                self._drop(entry)
                task = entry[2]
                task.queued = False
                self._queued -= 1
                return task
        return None

    def _first(self) -> _Entry | None:
        line, heap = self._line, self._heap
        if line and not (heap and heap[0] < line[0]):
            return line[0]
        return heap[0] if heap else None

    def _drop(self, first: _Entry) -> None:
        line = self._line
        if line and line[0] is first:
            line.popleft()
        else:
            heapq.heappop(self._heap)

    def _is_current(self, first: _Entry) -> bool:
        """Whether the first entry counts; otherwise it leaves, its task brought up to date."""
        deadline_s, _, task = first
        if not _counts(first):
            self._drop(first)
            return False
        waiters = task.waiters
        if len(waiters) == 1 and not waiters[0].done:
            return True
        alive = task.refresh()
        if alive and task.deadline_s == deadline_s:
            return True
        self._drop(first)
        if alive:
            heapq.heappush(self._heap, (task.deadline_s, next(self._order), task))
        else:
            task.queued = False
            self._queued -= 1
            self._on_dead(task)
        return False


def _counts(entry: _Entry) -> bool:
    return entry[2].queued and entry[0] == entry[2].deadline_s
