"""What one replica's batches cost: a model for predictions, and the transfer without our own lag.

``latency ≈ offset + slope · size``, least squares with exponential forgetting, so that it follows
a model that slows down or recovers within some ten batches. Pure.
"""

from __future__ import annotations

from collections import deque

FORGETTING = 0.9
TRANSFER_WINDOW = 32
MIN_SAMPLES = 3


class LatencyModel:
    """Predicts seconds of compute and transfer for a batch of a given size."""

    def __init__(self) -> None:
        self._samples = 0
        self._weight = 0.0
        self._size = 0.0
        self._latency = 0.0
        self._size_size = 0.0
        self._size_latency = 0.0

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

    def predict_s(self, size: int) -> float:
        """Return the expected latency; 0 while nothing is known, which rules nothing out."""
        if not self.trained:
            return 0.0
        mean_size = self._size / self._weight
        mean_latency = self._latency / self._weight
        variance = self._size_size / self._weight - mean_size * mean_size
        if variance < 1e-9 * (mean_size * mean_size + 1.0):
            return mean_latency
        covariance = self._size_latency / self._weight - mean_size * mean_latency
        slope = max(0.0, covariance / variance)
        offset = mean_latency - slope * mean_size
        if offset < 0.0:
            return mean_latency * size / mean_size
        return offset + slope * size


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
        return min(other_s for other, other_s in self._recent if 2 * other >= size)
