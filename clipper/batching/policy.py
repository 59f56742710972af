"""How many queries a replica gets at once: the interface of all batch-size policies.

A policy is a plain object, one for each replica. It reads no clock and does no I/O.
"""

from __future__ import annotations

import abc
from typing import NamedTuple


class BatchObservation(NamedTuple):
    """What one finished batch tells a policy."""

    size: int
    full: bool
    """The queue held as many queries as the policy allowed, so more may have been useful."""
    latency_s: float
    """Compute and transfer, without the wait behind another batch (design decision 3)."""
    objective_s: float
    """What `latency_s` should stay under; already leaves room for the wait in the pipe."""


class BatchSizePolicy(abc.ABC):
    """Decides the largest batch for one replica."""

    @property
    @abc.abstractmethod
    def cap(self) -> int:
        """Largest number of queries for the next batch, at least 1."""

    @abc.abstractmethod
    def observe(self, batch: BatchObservation) -> None:
        """Learn from a finished batch."""
