"""A clock that jumps from event to event."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable


class _Call:
    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class EventClock:
    """Runs calls in the order of their times; implements `clipper.clock.Clock`.

    Arrivals are a sorted stream beside the heap, so that each costs no entry in it.
    """

    def __init__(self) -> None:
        self._now_s = 1.0
        """Not 0: a task's `enqueued_s` of 0 means that it was never queued."""
        self._calls: list[tuple[float, int, _Call]] = []
        self._soon: deque[Callable[[], None]] = deque()
        self._number = 0

    def now(self) -> float:
        """Return the present virtual time in seconds."""
        return self._now_s

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Call:
        """Run ``callback`` once, exactly ``delay_s`` from now."""
        call = _Call(callback)
        self._number += 1
        heapq.heappush(self._calls, (self._now_s + max(0.0, delay_s), self._number, call))
        return call

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` at the present time, after what is running now."""
        self._soon.append(callback)

    def after_reading(self, callback: Callable[[], None]) -> _Call:
        """Run ``callback`` at the present time: nothing waits to be read."""
        return self.call_later(0.0, callback)

    def run(
        self,
        until_s: float,
        arrivals_s: Iterable[float] = (),
        arrived: Callable[[], None] | None = None,
    ) -> None:
        """Run everything that is due up to ``until_s``.

        Args:
            until_s: where time stands afterwards.
            arrivals_s: ascending times at which ``arrived`` is called besides.
            arrived: what happens at each of them.
        """
        stream = iter(arrivals_s)
        arrival_s = next(stream, float("inf"))
        calls, soon = self._calls, self._soon
        while True:
            while soon:
                soon.popleft()()
            due_s = calls[0][0] if calls else float("inf")
            if arrival_s < due_s and arrival_s <= until_s and arrived is not None:
                self._now_s = arrival_s
                arrived()
                arrival_s = next(stream, float("inf"))
            elif due_s <= until_s:
                _, _, call = heapq.heappop(calls)
                if not call.cancelled:
                    self._now_s = due_s
                    call.callback()
            else:
                break
        self._now_s = until_s
