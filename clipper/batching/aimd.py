"""Additive increase, multiplicative decrease (NSDI'17 §4.3; algorithms §1.12, mended by §1.13).

Against the original: the cap grows only when the batch was full, so light load neither raises nor
collapses it; a late batch costs 10 % of the cap whatever its own size, so one slow lone query does
not throw a large cap away.
"""

from __future__ import annotations

from clipper.batching.policy import BatchObservation, BatchSizePolicy

INCREASE = 2
BACKOFF = 0.9
DEAD_BAND = 0.10


class AimdPolicy(BatchSizePolicy):
    """Steers the batch latency to just under its objective."""

    def __init__(self, start: int = 1, max_size: int = 1 << 16) -> None:
        self._cap = start
        self._max_size = max_size

    @property
    def cap(self) -> int:
        """Largest number of queries for the next batch."""
        return self._cap

    def observe(self, batch: BatchObservation) -> None:
        """Grow by 2 below the dead band, hold inside it, cut by 10 % above the objective."""
        if batch.latency_s >= batch.objective_s:
            self._cap = max(1, int(self._cap * BACKOFF))
        elif batch.full and batch.latency_s < batch.objective_s * (1 - DEAD_BAND):
            self._cap = min(self._max_size, self._cap + INCREASE)
