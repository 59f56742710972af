"""A model container without a process: a pipe of batches, one computed at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from clipper.clock import Clock


class BatchTaker(Protocol):
    """What feeds the replica: a `Dispatcher`, or a reference one."""

    def batch_answered(self, batch_id: int, result: SimulatedResult) -> None:
        """Take a reply."""


class SimulatedResult:
    """The reply to one batch."""

    __slots__ = ("compute_s", "errors", "outputs", "queue_s")

    def __init__(self, outputs: Sequence[bytes], queue_s: float, compute_s: float) -> None:
        self.outputs = outputs
        self.errors: dict[int, str] = {}
        self.queue_s = queue_s
        self.compute_s = compute_s


class SimulatedReplica:
    """Implements `ReplicaPort`. Batches of the pipe wait for each other, in order."""

    holds_credits = True

    def __init__(
        self,
        clock: Clock,
        seconds: Callable[[int, float], float],
        depth: int = 2,
        transfer_s: float = 0.0,
    ) -> None:
        """
        Args:
            clock: the simulation's.
            seconds: how long a batch of a size that starts at a time takes.
            depth: batches in the pipe, the one being computed included.
            transfer_s: how long a message travels, each way.
        """
        self.credits = depth
        self.taker: BatchTaker
        self.computed: list[tuple[float, int, float]] = []
        """Start, size and seconds of each batch that was computed."""
        self._clock = clock
        self._seconds = seconds
        self._transfer_s = transfer_s
        self._pipe: deque[tuple[int, list[bytes], float]] = deque()
        self._batches = 0

    def send_batch(
        self,
        inputs: list[bytes],
        budgets_s: list[float],
        generation: int,
        demand: tuple[int, float] | None,
    ) -> int:
        """Take a batch into the pipe; return its id."""
        assert self.credits > 0, "a batch was sent without a credit"
        self.credits -= 1
        self._batches += 1
        batch_id = self._batches
        if self._transfer_s:
            self._clock.call_later(self._transfer_s, lambda: self._arrived(batch_id, inputs))
        else:
            self._arrived(batch_id, inputs)
        return batch_id

    def send_demand(self, queries: int, head_budget_s: float) -> None:
        """Only frontends that share a replica ask for credits."""

    def return_credits(self) -> None:
        """Only frontends that share a replica give credits back."""

    def _arrived(self, batch_id: int, inputs: list[bytes]) -> None:
        self._pipe.append((batch_id, inputs, self._clock.now()))
        if len(self._pipe) == 1:
            self._compute()

    def _compute(self) -> None:
        batch_id, inputs, arrived_s = self._pipe[0]
        start_s = self._clock.now()
        compute_s = self._seconds(len(inputs), start_s)
        self.computed.append((start_s, len(inputs), compute_s))
        result = SimulatedResult(inputs, start_s - arrived_s, compute_s)
        self._clock.call_later(compute_s, lambda: self._computed(batch_id, result))

    def _computed(self, batch_id: int, result: SimulatedResult) -> None:
        self._pipe.popleft()
        if self._pipe:
            self._compute()
        if self._transfer_s:
            self._clock.call_later(self._transfer_s, lambda: self._reply(batch_id, result))
        else:
            self._reply(batch_id, result)

    def _reply(self, batch_id: int, result: SimulatedResult) -> None:
        self.credits += 1
        self.taker.batch_answered(batch_id, result)
