"""What a query of one model version costs at each batch size. Pure."""

from __future__ import annotations

import math

from clipper.management.autoscaling.measurements import Window

_TRUSTED_BATCHES = 50.0
"""Means over fewer batches say more about chance than about the model."""
_APART = 2.0
"""So many times as large must one batch size be as another to tell the two costs apart."""
_MEMORY_BATCHES = 1000.0
"""Older batches weigh less and less beyond so many."""


class _Mean:
    __slots__ = ("batch_size", "batches", "cost_s", "seen_s")

    def __init__(self) -> None:
        self.batches = 0.0
        self.batch_size = 0.0
        self.cost_s = 0.0
        self.seen_s = -math.inf


class BatchCosts:
    """Mean replica-seconds of a query, apart for mean batch sizes from 1, 2, 4, 8 … on.

    Apart, since a mean over all sizes would follow the load; means, since the smallest of many
    single measurements is far too small.
    """

    def __init__(self, memory_s: float) -> None:
        """Sizes that did not occur for ``memory_s`` count no more."""
        self._memory_s = memory_s
        self._means: dict[int, _Mean] = {}
        self.latest_s = 0.0
        """The last known cost; 0 before there is any."""

    def observe(self, now_s: float, window: Window) -> None:
        """Learn from what was answered in a window."""
        cost_s = window.cost_s
        if cost_s is None or not window.batches:
            return
        self.latest_s = cost_s
        mean = self._means.setdefault(int(math.log2(max(1.0, window.batch_size))), _Mean())
        if now_s - mean.seen_s > self._memory_s:
            mean.batches = 0.0
        mean.seen_s = now_s
        mean.batches = min(mean.batches, _MEMORY_BATCHES) + window.batches
        weight = window.batches / mean.batches
        mean.cost_s += (cost_s - mean.cost_s) * weight
        mean.batch_size += (window.batch_size - mean.batch_size) * weight

    def cheapest_s(self, now_s: float, present: Window) -> float:
        """Return the smallest cost of those remembered and the ``present`` one."""
        known = [mean.cost_s for mean in self._trusted(now_s)]
        return min([present.cost_s or self.latest_s, *known])

    def least_s(self, now_s: float, present: Window) -> float:
        """Return what a query costs at least, in batches however large.

        A batch of n queries takes a + b·n, so that a query costs a/n + b: never less than b, which
        follows from two sizes that were measured well and are far apart. Nor less, in batches as
        large as is allowed now, than if b were 0.
        """
        bound_s = (present.cost_s or self.latest_s) * present.fullness
        known = sorted(self._trusted(now_s), key=lambda mean: mean.batch_size)
        if len(known) < 2 or known[-1].batch_size < _APART * known[0].batch_size:
            return bound_s
        small, large = known[0], known[-1]
        fixed_s = (small.cost_s - large.cost_s) / (1 / small.batch_size - 1 / large.batch_size)
        each_s = small.cost_s - fixed_s / small.batch_size
        return max(bound_s, min(each_s, self.cheapest_s(now_s, present)))

    def _trusted(self, now_s: float) -> list[_Mean]:
        return [
            mean
            for mean in self._means.values()
            if now_s - mean.seen_s <= self._memory_s and mean.batches >= _TRUSTED_BATCHES
        ]
