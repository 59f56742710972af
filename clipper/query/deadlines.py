"""Deadlines of many queries with one timer.

Queries of one SLO come in the order of their deadlines, so each SLO has a first-in first-out line
and the earliest deadline is at the front of one of the lines. Answered queries leave a line as
they reach its front; behind a slow one they are swept out whenever the line has doubled.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from clipper.clock import Cancellable, Clock

_MIN_DELAY_S = 0.001
_SWEEP_AT = 1024


class Expiring(Protocol):
    """Something with a deadline."""

    done: bool
    deadline_s: float

    def expire(self) -> None:
        """The deadline has come."""


class _Line:
    __slots__ = ("items", "sweep_at")

    def __init__(self) -> None:
        self.items: deque[Expiring] = deque()
        self.sweep_at = _SWEEP_AT

    def sweep(self) -> None:
        self.items = deque(item for item in self.items if not item.done)
        self.sweep_at = max(_SWEEP_AT, 2 * len(self.items))


class DeadlineLines:
    """Calls `expire` on everything that is not done at its deadline, never before it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[float, _Line] = {}
        self._timer: Cancellable | None = None
        self._timer_s = float("inf")

    def add(self, item: Expiring, slo_s: float) -> None:
        """Watch ``item``, whose deadline is ``slo_s`` after its arrival."""
        line = self._lines.get(slo_s)
        if line is None:
            line = self._lines[slo_s] = _Line()
        items = line.items
        while items and items[0].done:
            items.popleft()
        items.append(item)
        if len(items) >= line.sweep_at:
            line.sweep()
        if item.deadline_s < self._timer_s:
            self._arm(item.deadline_s)

    def __len__(self) -> int:
        return sum(len(line.items) for line in self._lines.values())

    def _arm(self, deadline_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = deadline_s
        delay_s = max(_MIN_DELAY_S, deadline_s - self._clock.now())
        self._timer = self._clock.call_later(delay_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._timer_s = float("inf")
        now_s = self._clock.now()
        earliest_s = float("inf")
        for slo_s, line in list(self._lines.items()):
            items = line.items
            while items and (items[0].done or items[0].deadline_s <= now_s):
                item = items.popleft()
                if not item.done:
                    item.expire()
            if items:
                earliest_s = min(earliest_s, items[0].deadline_s)
            else:
                del self._lines[slo_s]
        if earliest_s < self._timer_s:
            self._arm(earliest_s)
