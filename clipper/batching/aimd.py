"""Additive increase, multiplicative decrease (NSDI'17 §4.3; algorithms §1.12, mended by §1.13).

Against the original:

* The cap grows only when the batch was full, so light load neither raises nor collapses it.
* Far below the objective it grows in proportion, at most twofold: a batch with a fixed cost takes
  less than twice as long when it is twice as large, so this hardly overshoots, and the ramp takes
  some ten batches instead of hundreds. Near the objective it grows by 2, as in the paper, but
  below 20 by 1: a step is no larger than what one cut takes back.
* The dead band is 5 % of the time, not 10 %: where the fixed cost is 40 % of the objective, 10 %
  of the time are 17 % of the size.
* A late batch costs 10 % of the cap, whatever its own size, and only if a smaller batch would be
  faster: where the time hardly depends on the size, small batches lose throughput and win nothing.
"""

from __future__ import annotations

from clipper.batching.latency import LatencyModel
from clipper.batching.policy import BatchObservation, BatchSizePolicy

INCREASE = 2
BACKOFF = 0.9
DEAD_BAND = 0.05
MOST_GROWTH = 2.0
LEAST_SHARE = 0.4
"""Growth relies on a fixed cost only so far: it is an estimate."""
WORTH_CUTTING = 0.2
"""Share of a batch's time that must depend on its size for a cut: 10 % then save 2 % of it."""
_ROUNDING = 1e-9
"""The paper's objective is kept by a batch that takes exactly as long."""


class AimdPolicy(BatchSizePolicy):
    """Steers the batch latency to just under its objective."""

    def __init__(self, start: int = 1, max_size: int = 1 << 16) -> None:
        self._cap = start
        self._max_size = max_size
        self._latency = LatencyModel()
        self._late_run: LatencyModel | None = None
        """Of the late batches since the last one in time: what was before may have been another
        model, as it were, and would show late small batches beside early large ones."""

    @property
    def cap(self) -> int:
        """Largest number of queries for the next batch."""
        return self._cap

    def observe(self, batch: BatchObservation) -> None:
        """Grow below the dead band, hold inside it, cut by 10 % above the objective."""
        self._latency.observe(batch.size, batch.latency_s)
        if batch.latency_s > batch.objective_s * (1 + _ROUNDING):
            self._late(batch)
            return
        self._late_run = None
        if batch.full:
            target_s = batch.objective_s * (1 - DEAD_BAND)
            if batch.latency_s < target_s:
                self._grow(batch.size, self._factor(batch.size, target_s, batch.latency_s))

    def _factor(self, size: int, target_s: float, latency_s: float) -> float:
        """Return how much larger a batch may be that still takes no longer than ``target_s``."""
        if latency_s <= 0:
            return MOST_GROWTH
        share = self._latency.size_share(size)
        return 1 + (target_s / latency_s - 1) / (1.0 if share is None else max(LEAST_SHARE, share))

    def _late(self, batch: BatchObservation) -> None:
        if self._late_run is None:
            self._late_run = LatencyModel()
        self._late_run.observe(batch.size, batch.latency_s)
        share = self._late_run.size_share(batch.size)
        if share is None:
            # Batches of one size do not tell. Much smaller ones than the cap say nothing about it;
            # at 1 there is nothing to lose, and 2 will show whether larger ones are slower.
            if self._cap == 1 and batch.full:
                self._cap = 2
            elif 2 * batch.size >= self._cap:
                self._cut()
        elif share >= WORTH_CUTTING:
            self._cut()
        elif batch.full:
            self._grow(batch.size, 1.0)

    def _cut(self) -> None:
        self._cap = max(1, int(self._cap * BACKOFF))

    def _grow(self, size: int, factor: float) -> None:
        # From the size that was tried: of two batches in a pipe the second must not double again.
        step = INCREASE if size * (1 - BACKOFF) >= INCREASE else 1
        grown = max(size + step, int(size * min(MOST_GROWTH, factor)))
        self._cap = max(self._cap, min(self._max_size, grown))
