"""A constant largest batch: `batch_size` > 0 of a model version (spec §7.3)."""

from __future__ import annotations

from clipper.batching.policy import BatchObservation, BatchSizePolicy


class FixedPolicy(BatchSizePolicy):
    """Never changes."""

    def __init__(self, size: int) -> None:
        self._cap = size

    @property
    def cap(self) -> int:
        """The configured size."""
        return self._cap

    def observe(self, batch: BatchObservation) -> None:
        """Nothing to learn."""
