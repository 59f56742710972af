"""What a query of one model version costs at each batch size. Pure."""

from __future__ import annotations

import math

from clipper.management.autoscaling.measurements import Window

_TRUSTED_BATCHES = 100.0
"""Means over fewer batches say more about chance than about the model."""
_MEMORY_BATCHES = 1000.0
"""Older batches weigh less and less beyond so many."""


class _Mean:
    __slots__ = ("batches", "cost_s", "seen_s")

    def __init__(self) -> None:
        self.batches = 0.0
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
        mean.cost_s += (cost_s - mean.cost_s) * window.batches / mean.batches

    def cheapest_s(self, now_s: float, present: Window) -> float:
        """Return the smallest cost of those remembered and the ``present`` one."""
        known = [
            mean.cost_s
            for mean in self._means.values()
            if now_s - mean.seen_s <= self._memory_s and mean.batches >= _TRUSTED_BATCHES
        ]
        return min([present.cost_s or self.latest_s, *known])
