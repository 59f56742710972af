"""A clock that moves only when the test says so."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class _Call:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """Runs due calls in the order of their times; `call_soon` runs at the present time."""

    def __init__(self) -> None:
        self._now_s = 100.0
        self._calls: list[tuple[float, int, _Call]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now_s

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Call:
        call = _Call(callback)
        heapq.heappush(self._calls, (self._now_s + delay_s, next(self._order), call))
        return call

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.call_later(0.0, callback)

    def after_reading(self, callback: Callable[[], None]) -> _Call:
        return self.call_later(0.0, callback)

    def stall(self, delay_s: float) -> None:
        """Let time pass in which nothing can run."""
        self._now_s += delay_s

    def settle(self) -> None:
        """Run what is due now."""
        self.advance(0.0)

    def advance(self, delay_s: float) -> None:
        """Let time pass, running each call at its own time."""
        end_s = self._now_s + delay_s
        while self._calls and self._calls[0][0] <= end_s + 1e-12:
            at_s, _, call = heapq.heappop(self._calls)
            self._now_s = max(self._now_s, at_s)
            if not call.cancelled:
                call.callback()
        self._now_s = max(self._now_s, end_s)
