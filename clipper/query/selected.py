"""Queries whose models a selection policy chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import field

from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.outputs import Output
from clipper.query.applications import Application
from clipper.query.arms import ArmTable
from clipper.query.query import PredictRequest, Query
from clipper.selection.policy import Arm, Choice, State
from clipper.selection.votes import Vote, read_vote

_encode = msgspec.json.encode


class Listener(Protocol):
    """Who decides how such a query goes on."""

    def heard(self, query: SelectedQuery) -> None:
        """One more of the arms asked has answered or will not."""

    def finish(self, query: Query) -> None:
        """Combine what there is: all is heard, or the deadline has come."""


class SelectedQuery(Query, kw_only=True, eq=False):
    """One input, asked of the models that a policy chose."""

    uid: str
    arms: ArmTable
    """All that may answer."""
    listener: Listener
    state: State = field(default_factory=dict)
    choice: Choice = Choice(())
    asked: list[Arm] = field(default_factory=list)
    votes: dict[Arm, Vote] = field(default_factory=dict)
    missing: list[Arm] = field(default_factory=list)
    late: tuple[Arm, ...] = ()
    silent: dict[Arm, Output] = field(default_factory=dict)
    """Outputs of shadows, which may come after the reply."""
    confidence: float | None = None

    def arrived(self, model: VersionedModelId, output: Output) -> None:
        """Take a model's output as a vote."""
        if not self.done:
            self.votes[self.arms.arm_of[model]] = read_vote(output)
            self.listener.heard(self)

    def missed(self, model: VersionedModelId, reason: DefaultReason, detail: str) -> None:
        """A model will give no output in time; the others may."""
        if not self.done:
            self.reason, self.detail = reason, detail
            self.missing.append(self.arms.arm_of[model])
            self.listener.heard(self)

    @property
    def heard_all(self) -> bool:
        """Whether nobody that was asked can still answer."""
        return len(self.votes) + len(self.missing) >= len(self.asked)

    def outputs_by_key(self) -> dict[str, bytes]:
        """Return the texts of all outputs that are known, by arm key."""
        known = {arm.key: vote.output.text for arm, vote in self.votes.items()}
        return known | {arm.key: output.text for arm, output in self.silent.items()}

    def describe(self, confidence: float | None, answered: Sequence[Arm] | None) -> None:
        """Set what the response says beyond the output.

        Args:
            confidence: that the answer is right; None: the policy does not know.
            answered: who did, where several models were asked; None: only one can be.
        """
        self.confidence = confidence
        parts = []
        if confidence is not None:
            parts.append(b',"confidence":%b' % _encode(round(confidence, 6)))
        if answered is not None:
            models = {"answered": list(map(str, answered)), "late": list(map(str, self.late))}
            parts.append(b',"models":%b' % _encode(models))
        self.extra = b"".join(parts)


class AsideQuery(Query, kw_only=True, eq=False):
    """Asks one model beside the reply: a shadow, or a prediction that feedback needs.

    ``finish`` is called with it when the output is there or will not come.
    """

    arm: Arm


def aside_query(
    application: Application,
    arm: Arm,
    input_bytes: bytes,
    arrival_s: float,
    deadline_s: float,
    ended: Callable[[Query], None],
) -> AsideQuery:
    """Return a query of nobody's request."""
    request = PredictRequest(application, 1)
    return AsideQuery(0, request, application, input_bytes, arrival_s, deadline_s, ended, arm=arm)
