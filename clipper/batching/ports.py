"""What batching needs of its surroundings, and its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from clipper.batching.task import PredictTask
from clipper.datatypes import DefaultReason


class BatchResult(Protocol):
    """A replica's answer to one batch."""

    outputs: Sequence[bytes]
    errors: dict[int, str]
    queue_s: float
    compute_s: float


class ReplicaPort(Protocol):
    """What a dispatcher needs of a replica; `replicas.replica.Replica` is the real one."""

    credits: int
    holds_credits: bool
    """Whether unused credits may be kept (one frontend) or must be given back (several)."""

    def send_batch(
        self,
        inputs: list[bytes],
        budgets_s: list[float],
        generation: int,
        demand: tuple[int, float] | None,
    ) -> int:
        """Send a batch, use one credit, return the batch id."""

    def send_demand(self, queries: int, head_budget_s: float) -> None:
        """Ask for a credit."""

    def return_credits(self) -> None:
        """Give every unused credit back."""


class TaskSink(Protocol):
    """Where outcomes go; the task executor is the real one."""

    def completed(self, task: PredictTask, text: bytes) -> None:
        """The replica answered."""

    def failed(self, task: PredictTask, reason: DefaultReason, detail: str) -> None:
        """No replica will answer."""


class DispatchObserver(Protocol):
    """Where measurements go; the metrics are the real one."""

    def sent(self, queue_waits_s: list[float], slacks_s: list[float], cap: int) -> None:
        """A batch left."""

    def answered(self, size: int, result: BatchResult, round_trip_s: float) -> None:
        """A batch came back."""

    def missed(self, count: int) -> None:
        """So many tasks were answered too late, given up for lack of time, or found no room."""


@dataclasses.dataclass(frozen=True, slots=True)
class DispatchSettings:
    """Limits of batching. Times in seconds."""

    max_batch_bytes: int = 16 << 20
    """Inputs of one batch together; a single larger input still goes, alone."""
    batch_wait_s: float = 0.0
    """How long a batch that is not full waits for more, from when its first query was queued
    (paper §4.3.2)."""
    objective_share: float = 0.55
    """Share of the tightest SLO that one batch may take. A query waits at most behind one batch
    and is answered with the next, so two batches must fit: one half, and what the dead band of
    the controller leaves unused."""
    late_factor: float = 3.0
    """A batch later than this many times its prediction stops the replica from being fed."""
    late_floor_s: float = 0.05
    """Nothing is late before this, whatever the prediction."""
