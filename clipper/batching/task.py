"""A prediction task: one input for one model version, and the queries that wait for it."""

from __future__ import annotations

from typing import Protocol

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

    def deliver(self, task: PredictTask) -> None:
        """The task has its output (`task.output`)."""

    def give_up(self, task: PredictTask, reason: DefaultReason, detail: str) -> None:
        """The task will give this query no output in time."""


class PredictTask:
    """Mutable state of one computation; belongs to the event loop's thread.

    ``deadline_s`` is the earliest deadline among the waiters that are still alive, as far as the
    queue knows; `refresh` brings it up to date.
    """

    __slots__ = (
        "deadline_s",
        "enqueued_s",
        "input",
        "losses",
        "model",
        "offered",
        "output",
        "queued",
        "settled",
        "shelf",
        "stranded",
        "sweep_at",
        "waiters",
    )

    def __init__(
        self,
        model: VersionedModelId,
        input_bytes: bytes,
        shelf: object,
        waiter: Waiter,
    ) -> None:
        self.model = model
        self.input = input_bytes
        self.shelf = shelf
        """Where the executor keeps the output; None: nowhere."""
        self.waiters = [waiter]
        self.deadline_s = waiter.deadline_s
        self.enqueued_s = 0.0
        self.losses = 0
        self.output: Output | None = None
        self.queued = False
        self.settled = False
        """It has its output or has failed: no query is told anything more."""
        self.stranded = False
        """Its replica is late with it and no other was asked yet."""
        self.offered = False
        """A second replica was asked because the first was late."""
        self.sweep_at = _SWEEP_AT

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
                waiter.give_up(self, DefaultReason.SLO, "")
