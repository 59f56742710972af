"""What the hot path touches: counters, gauges, histograms and meters without locks.

All instruments belong to one thread, the event loop's. An observation is a few attribute writes;
names, labels and formats are looked up when somebody reads, not when something happens.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import mul

TICK_S = 5.0
_SETTLED_AT = 256
"""Values that are sorted into buckets at once, for a fraction of what they cost one by one."""
_WINDOWS_MIN = (1, 5, 15)
_WEIGHTS = tuple(1.0 - math.exp(-TICK_S / (60.0 * minutes)) for minutes in _WINDOWS_MIN)


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add ``amount``, which is not negative."""
        self.value += amount


class Gauge:
    """A number that is set."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def set(self, value: float) -> None:
        """Show ``value`` from now on."""
        self.value = value


class Histogram:
    """Counts of values in fixed buckets, with exact sum, extremes and sum of squares.

    ``counts[i]`` counts values up to and including ``bounds[i]`` and above the bound before it; the
    last count is of values above every bound. Whoever reads calls `settle` first.
    """

    __slots__ = ("_waiting", "bounds", "counts", "max", "min", "sum", "sum_squares")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.sum_squares = 0.0
        self.min = math.inf
        self.max = -math.inf
        self._waiting: list[float] = []

    def observe(self, value: float) -> None:
        """Count a finite ``value``."""
        waiting = self._waiting
        waiting.append(value)
        if len(waiting) >= _SETTLED_AT:
            self.settle()

    def observe_many(self, values: Sequence[float]) -> None:
        """Count each of ``values``, for less than as many calls of `observe`."""
        self._waiting += values
        if len(self._waiting) >= _SETTLED_AT:
            self.settle()

    def settle(self) -> None:
        """Put what was observed into its buckets."""
        waiting = self._waiting
        if not waiting:
            return
        waiting.sort()
        bounds, counts = self.bounds, self.counts
        last = bisect_left(bounds, waiting[-1])
        counted = 0
        for index in range(bisect_left(bounds, waiting[0]), last):
            below = bisect_right(waiting, bounds[index], counted)
            counts[index] += below - counted
            counted = below
        counts[last] += len(waiting) - counted
        self.sum += sum(waiting)
        self.sum_squares += sum(map(mul, waiting, waiting))
        self.min = min(self.min, waiting[0])
        self.max = max(self.max, waiting[-1])
        waiting.clear()

    def observe_repeated(self, value: float, times: int) -> None:
        """Count ``value`` as often as ``times`` says, at the price of one observation."""
        if times <= 0:
            return
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times
        self.sum_squares += value * value * times
        self.min = min(self.min, value)
        self.max = max(self.max, value)


class Meter:
    """Events per second: since the start, and as moving averages over 1, 5 and 15 minutes.

    The averages move in ticks of 5 s (spec §11.1), which happen when somebody looks; events
    that several overdue ticks share are spread evenly over them.
    """

    __slots__ = ("_seen", "_ticked_s", "count", "rates", "since_s")

    def __init__(self, now_s: float) -> None:
        self.count: float = 0
        self.since_s = now_s
        self.rates: list[float] | None = None
        """Events per second over 1, 5 and 15 minutes; None before the first tick."""
        self._ticked_s = now_s
        self._seen: float = 0

    def mark(self, events: int = 1) -> None:
        """Count ``events``."""
        self.count += events

    def tick(self, now_s: float) -> None:
        """Move the averages up to ``now_s``."""
        ticks = int((now_s - self._ticked_s) / TICK_S)
        if ticks <= 0:
            return
        rate = (self.count - self._seen) / (ticks * TICK_S)
        self._seen = self.count
        self._ticked_s += ticks * TICK_S
        if self.rates is None:
            self.rates = [rate] * len(_WEIGHTS)
            return
        # `ticks` equal steps towards one value are one step with the compound weight.
        self.rates = [
            rate + (old - rate) * (1.0 - weight) ** ticks
            for old, weight in zip(self.rates, _WEIGHTS, strict=True)
        ]
