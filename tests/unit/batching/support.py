"""Waiters and tasks for tests of the queue and the dispatcher."""

from __future__ import annotations

from clipper.batching.task import PredictTask
from clipper.datatypes import DefaultReason, VersionedModelId

MODEL = VersionedModelId("m", "1")


class FakeWaiter:
    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.done = False
        self.reasons: list[tuple[DefaultReason, str]] = []

    def deliver(self, task: PredictTask) -> None:
        self.done = True

    def give_up(self, task: PredictTask, reason: DefaultReason, detail: str) -> None:
        self.done = True
        self.reasons.append((reason, detail))


class FakeSink:
    """Records outcomes and settles tasks as the executor does."""

    def __init__(self) -> None:
        self.outputs: dict[bytes, bytes] = {}
        self.failures: dict[bytes, tuple[DefaultReason, str]] = {}

    def completed(self, task: PredictTask, text: bytes) -> None:
        if not task.settled:
            task.settled = True
            self.outputs[task.input] = text

    def failed(self, task: PredictTask, reason: DefaultReason, detail: str) -> None:
        if not task.settled:
            task.settled = True
            self.failures[task.input] = (reason, detail)


def task(name: str, deadline_s: float) -> PredictTask:
    return PredictTask(MODEL, name.encode(), None, FakeWaiter(deadline_s))
