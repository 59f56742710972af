"""Numbers for queries, by which feedback can name them (design decision 11)."""

from __future__ import annotations

import dataclasses

_EPOCHS = (1 << 21) - 1
"""Epochs after which ids repeat, so that they stay below 2^53."""


@dataclasses.dataclass(slots=True)
class QueryIds:
    """Query ids below 2^53, unique over workers and restarts: epoch · 2^32 + counter."""

    epoch: int
    spare_epoch: int | None = None
    """The next epoch, fetched ahead of time, for when the counter is used up."""
    _counter: int = 0

    @property
    def issued(self) -> int:
        """How many ids this epoch gave out: the number of queries so far."""
        return self._counter

    @property
    def wants_spare(self) -> bool:
        """Whether it is time to fetch the next epoch."""
        return self.spare_epoch is None and self._counter > 1 << 31

    def next(self) -> int:
        """Return the next id.

        Should the counter be used up while no spare epoch could be fetched, this worker's own
        oldest ids come again, four thousand million queries later; never those of another worker.
        """
        if self._counter >= 1 << 32:
            if self.spare_epoch is not None:
                self.epoch, self.spare_epoch = self.spare_epoch, None
            self._counter = 0
        counter = self._counter
        self._counter = counter + 1
        return ((self.epoch & _EPOCHS) << 32) + counter
