"""A prediction task: one input for one model version, and the queries that wait for it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.outputs import Output

RUN_ALONE_LOSSES = 2
"""After so many lost batches a task runs alone, so that it can harm nobody but itself."""
_SWEEP_AT = 64


class Waiter(Protocol):
    """A query that waits for a task."""

    done: bool
    """The query has its answer or its default; it waits no more."""
    deadline_s: float

    def arrived(self, model: VersionedModelId, output: Output) -> None:
        """The task of this model version has its output."""

    def missed(self, model: VersionedModelId, reason: DefaultReason, detail: str) -> None:
        """The task will give this query no output in time."""


class PredictTask(msgspec.Struct, eq=False):
    """Mutable state of one computation; belongs to the event loop's thread."""

    model: VersionedModelId
    input: bytes
    shelf: object
    """Where the executor keeps the output; None: nowhere."""
    waiters: list[Waiter]
    deadline_s: float
    """The earliest deadline among the waiters that are still alive, as far as the queue knows;
    `refresh` brings it up to date."""
    enqueued_s: float = 0.0
    losses: int = 0
    output: Output | None = None
    queued: bool = False
    settled: bool = False
    """It has its output or has failed: no query is told anything more."""
    stranded: bool = False
    """Its replica is late with it and no other was asked yet."""
    offered: bool = False
    """A second replica was asked because the first was late."""
    sweep_at: int = _SWEEP_AT

    @property
    def alive(self) -> bool:
        """Whether any query still waits."""
        # The newest first: of equal objectives it is the last to give up.
        return any(not waiter.done for waiter in reversed(self.waiters))

    @property
    def runs_alone(self) -> bool:
        """Whether its batches were lost so often that it must be sent by itself."""
        return self.losses >= RUN_ALONE_LOSSES

    def join(self, waiter: Waiter) -> None:
        """Add a query; those that have given up are let go whenever their number has doubled."""
        self.waiters.append(waiter)
        if len(self.waiters) >= self.sweep_at:
            self.waiters = [waiter for waiter in self.waiters if not waiter.done]
            self.sweep_at = max(_SWEEP_AT, 2 * len(self.waiters))

    def refresh(self) -> bool:
        """Recompute the deadline from the waiters that are alive; False when there are none."""
        deadlines = [waiter.deadline_s for waiter in self.waiters if not waiter.done]
        if not deadlines:
            return False
        self.deadline_s = min(deadlines)
        return True

    def give_up_before(self, time_s: float) -> None:
        """Tell every query that cannot wait until ``time_s``, once: it waits for the task no more.

        A query that asked other models too is not done with that, and must not be told again.
        """
        waiting = [waiter for waiter in self.waiters if not waiter.done]
        self.waiters = [waiter for waiter in waiting if waiter.deadline_s >= time_s]
        for waiter in waiting:
            if waiter.deadline_s < time_s:
                waiter.missed(self.model, DefaultReason.SLO, "")
