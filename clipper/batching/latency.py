"""What one replica's batches cost: a model for predictions, and the transfer without our own lag.

``latency ≈ level · (offset + slope · size)``: the line by least squares with forgetting, which
needs some tens of batches to tell a fixed cost from one for each query; the level from the last
five, so that a model that slows down or recovers is followed within three. Pure.
"""

from __future__ import annotations

import math
from collections import deque

FORGETTING = 0.95
LEVEL_WINDOW = 5
TRANSFER_WINDOW = 32
MIN_SAMPLES = 3
EFFICIENT = 0.97
"""What a smaller batch for the sake of one query may cost in throughput."""
SPREAD_OF_SIZES = 0.03
"""Sizes that differ less, relative to their mean, do not show what depends on the size."""


class LatencyModel:
    """Predicts seconds of compute and transfer for a batch of a given size."""

    __slots__ = (
        "_latency",
        "_offset_s",
        "_recent",
        "_samples",
        "_size",
        "_size_latency",
        "_size_size",
        "_slope_s",
        "_weight",
    )

    def __init__(self) -> None:
        self._samples = 0
        self._weight = 0.0
        self._size = 0.0
        self._latency = 0.0
        self._size_size = 0.0
        self._size_latency = 0.0
        self._recent: deque[tuple[int, float]] = deque(maxlen=LEVEL_WINDOW)
        self._offset_s = 0.0
        self._slope_s = 0.0

    @property
    def trained(self) -> bool:
        """Whether enough batches were seen to rely on the prediction."""
        return self._samples >= MIN_SAMPLES

    def observe(self, size: int, latency_s: float) -> None:
        """Learn from a finished batch."""
        self._samples += 1
        self._weight = self._weight * FORGETTING + 1.0
        self._size = self._size * FORGETTING + size
        self._latency = self._latency * FORGETTING + latency_s
        self._size_size = self._size_size * FORGETTING + size * size
        self._size_latency = self._size_latency * FORGETTING + size * latency_s
        self._recent.append((size, latency_s))
        if self._samples >= MIN_SAMPLES:
            offset_s, slope_s = self._line()
            # A median: one pause of the container among them changes nothing.
            levels = sorted(
                [seen_s / (offset_s + slope_s * size + 1e-9) for size, seen_s in self._recent]
            )
            level = levels[len(levels) // 2]
            self._offset_s = offset_s * level
            self._slope_s = slope_s * level

    def predict_s(self, size: int) -> float:
        """Return the expected latency; 0 while nothing is known, which rules nothing out."""
        return self._offset_s + self._slope_s * size

    def suited(self, size: int, over_s: float) -> int:
        """Return the largest batch that takes ``over_s`` less than one of ``size``.

        0 when that would be too small to have `EFFICIENT` of its throughput.
        """
        if self._slope_s <= 0.0:
            return 0
        smaller = size - math.ceil(over_s / self._slope_s)
        if smaller < 1:
            return 0
        rate = smaller / self.predict_s(smaller)
        return smaller if rate * self.predict_s(size) >= EFFICIENT * size else 0

    def size_share(self, size: int) -> float | None:
        """Return which share of a batch's time depends on its size; None when that is unknown."""
        if (
            not self.trained
            or self._variance() < (SPREAD_OF_SIZES * self._size / self._weight) ** 2
        ):
            return None
        depends_s = self._slope_s * size
        return depends_s / (self._offset_s + depends_s + 1e-9)

    def _variance(self) -> float:
        mean_size = self._size / self._weight
        return self._size_size / self._weight - mean_size * mean_size

    def _line(self) -> tuple[float, float]:
        """Return the fitted (offset_s, slope_s), neither of them negative."""
        mean_size = self._size / self._weight
        mean_latency = self._latency / self._weight
        variance = self._variance()
        if variance < 1e-9 * (mean_size * mean_size + 1.0):
            return mean_latency, 0.0
        covariance = self._size_latency / self._weight - mean_size * mean_latency
        slope_s = max(0.0, covariance / variance)
        offset_s = mean_latency - slope_s * mean_size
        if offset_s < 0.0:
            return 0.0, mean_latency / mean_size
        return offset_s, slope_s


class TransferFloor:
    """How long the transfer of a batch takes by itself.

    What is measured around a computation holds the transfer and this process's own lag, which
    under load is the larger part and does not shrink with the batch: a controller that saw it
    would cut the batch size, which makes the load worse, and stay at 1 for good. Among recent
    batches that were not much smaller, the least lagged one shows the transfer. Pure.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=TRANSFER_WINDOW)

    def observe_s(self, size: int, around_s: float) -> float:
        """Take the time around a batch's computation; return the part that is its transfer."""
        self._recent.append((size, around_s))
        return min([other_s for other, other_s in self._recent if 2 * other >= size])
