"""A query on its way: which tasks it waits for, and what became of it."""

from __future__ import annotations

from collections.abc import Callable

from clipper.batching.task import PredictTask
from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.outputs import Output
from clipper.query.applications import Application


class PredictRequest:
    """The queries of one request; `on_done` is called once, when all of them are finished."""

    __slots__ = ("application", "error", "on_done", "pending", "queries")

    def __init__(self, application: Application, size: int) -> None:
        self.application = application
        self.queries: list[Query] = []
        self.pending = size
        self.on_done: Callable[[], None] | None = None
        self.error: Exception | None = None
        """What a policy raised on combining outputs; there is no answer then."""

    def finished(self) -> None:
        """One more of its queries is finished."""
        self.pending -= 1
        if self.pending == 0 and self.on_done is not None:
            self.on_done()


class Query:
    """One input of one application, asked of one model. Belongs to the event loop's thread.

    ``done`` is set once; after that ``output`` is the answer, or ``reason`` says why there is none.
    """

    extra = b""
    """Further members of the response's object, each with its comma in front."""

    __slots__ = (
        "_finish",
        "application",
        "arrival_s",
        "deadline_s",
        "detail",
        "done",
        "input",
        "output",
        "query_id",
        "reason",
        "request",
        "tasks",
    )

    def __init__(
        self,
        query_id: int,
        request: PredictRequest,
        input_bytes: bytes,
        arrival_s: float,
        finish: Callable[[Query], None],
    ) -> None:
        """``finish`` is called when the model has answered or will not."""
        self.query_id = query_id
        self.request = request
        self.application = application = request.application
        self.input = input_bytes
        self.arrival_s = arrival_s
        self.deadline_s = arrival_s + application.slo_s
        self.done = False
        self.output: Output | None = None
        self.reason: DefaultReason | None = None
        self.detail = ""
        self.tasks: list[PredictTask] = []
        self._finish = finish

    def unserved(self) -> None:
        """There is no model to ask."""
        self.reason = DefaultReason.NO_REPLICA
        self._finish(self)

    def arrived(self, model: VersionedModelId, output: Output) -> None:
        """Take a model's output."""
        if not self.done:
            self.output = output
            self._finish(self)

    def missed(self, model: VersionedModelId, reason: DefaultReason, detail: str) -> None:
        """A model will give no output in time."""
        if not self.done:
            self.reason = reason
            self.detail = detail
            self._finish(self)

    def deliver(self, task: PredictTask) -> None:
        """The task has its output."""
        if task.output is not None:
            self.arrived(task.model, task.output)

    def give_up(self, task: PredictTask, reason: DefaultReason, detail: str) -> None:
        """The task will give no output in time."""
        self.missed(task.model, reason, detail)

    def expire(self) -> None:
        """The deadline has come: answer with what there is."""
        self.reason = DefaultReason.SLO
        self._finish(self)
