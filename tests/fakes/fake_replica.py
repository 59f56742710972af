"""A replica without a container: records batches, and answers when the test says so."""

from __future__ import annotations

import dataclasses

from clipper.batching.dispatcher import Dispatcher


@dataclasses.dataclass
class SentBatch:
    batch_id: int
    inputs: list[bytes]
    budgets_s: list[float]
    generation: int
    demand: tuple[int, float] | None


class FakeResult:
    def __init__(
        self,
        outputs: list[bytes],
        errors: dict[int, str] | None = None,
        queue_s: float = 0.0,
        compute_s: float = 0.0,
    ) -> None:
        self.outputs = outputs
        self.errors = errors or {}
        self.queue_s = queue_s
        self.compute_s = compute_s


class FakeReplica:
    """Implements `ReplicaPort`; two credits ahead, like a container with one frontend."""

    def __init__(self, credits: int = 2, holds_credits: bool = True) -> None:
        self.credits = credits
        self.holds_credits = holds_credits
        self.sent: list[SentBatch] = []
        self.demands: list[tuple[int, float]] = []
        self.returned = 0
        self.replica_id = 0
        self.dispatcher: Dispatcher | None = None

    def send_batch(
        self,
        inputs: list[bytes],
        budgets_s: list[float],
        generation: int,
        demand: tuple[int, float] | None,
    ) -> int:
        assert self.credits > 0, "a batch was sent without a credit"
        self.credits -= 1
        batch = SentBatch(len(self.sent) + 1, inputs, budgets_s, generation, demand)
        self.sent.append(batch)
        return batch.batch_id

    def send_demand(self, queries: int, head_budget_s: float) -> None:
        self.demands.append((queries, head_budget_s))

    def return_credits(self) -> None:
        self.returned += self.credits
        self.credits = 0

    def answer(self, index: int = -1, result: FakeResult | None = None) -> None:
        """Answer a sent batch (by default the last) with each input as its own output."""
        assert self.dispatcher is not None
        batch = self.sent[index]
        if self.holds_credits:
            self.credits += 1
        self.dispatcher.batch_answered(batch.batch_id, result or FakeResult(batch.inputs))
