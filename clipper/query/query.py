"""A query on its way: which tasks it waits for, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from clipper.batching.task import PredictTask
from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.outputs import Output
from clipper.query.applications import Application


class PredictRequest(msgspec.Struct, eq=False):
    """The queries of one request; `on_done` is called once, when all of them are finished.

    Requests and queries are structs of msgspec, which are made in half the time of a class's.
    """

    application: Application
    pending: int
    """How many of its queries are not finished."""
    queries: Sequence[Query] = ()
    on_done: Callable[[], None] | None = None
    error: Exception | None = None
    """What a policy raised on combining outputs; there is no answer then."""

    def finished(self) -> None:
        """One more of its queries is finished."""
        self.pending -= 1
        if self.pending == 0 and self.on_done is not None:
            self.on_done()


class Query(msgspec.Struct, eq=False):
    """One input of one application, asked of one model. Belongs to the event loop's thread.

    ``done`` is set once; after that ``output`` is the answer, or ``reason`` says why there is none.
    """

    query_id: int
    request: PredictRequest
    application: Application
    input: bytes
    arrival_s: float
    deadline_s: float
    finish: Callable[[Query], None]
    """To be called when the model has answered or will not."""
    done: bool = False
    output: Output | None = None
    reason: DefaultReason | None = None
    detail: str = ""
    extra: bytes = b""
    """Further members of the response's object, each with its comma in front."""
    tasks: tuple[PredictTask, ...] = ()

    def unserved(self) -> None:
        """There is no model to ask."""
        self.reason = DefaultReason.NO_REPLICA
        self.finish(self)

    def arrived(self, model: VersionedModelId, output: Output) -> None:
        """Take a model's output."""
        if not self.done:
            self.output = output
            self.finish(self)

    def missed(self, model: VersionedModelId, reason: DefaultReason, detail: str) -> None:
        """A model will give no output in time."""
        if not self.done:
            self.reason = reason
            self.detail = detail
            self.finish(self)

    def expire(self) -> None:
        """The deadline has come: answer with what there is."""
        self.reason = DefaultReason.SLO
        self.finish(self)
