"""The interface of the model selection layer (NSDI'17 §5; algorithms §1.12).

A policy is stateless and pure: what it has learned is in the selection state, which it reads and
never changes. It answers with *additions* to that state. Additions of several frontends can be
applied in any order, each exactly once (design decision 15). Randomness is passed in.

One query goes through a policy like this::

    choice = policy.choose(state, arms, who, rng)      # whom to ask
    policy.advance(state, choice, votes, missing)      # after every arrival: enough, or ask more?
    policy.combine(state, choice, votes, rng)          # at the latest when the deadline has come

and feedback on it like this::

    policy.observe(state, choice, losses, answer_loss, votes, answer)  # what to add to the state
"""

from __future__ import annotations

import abc
import random
import types
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from clipper.outputs import Output
from clipper.selection.votes import Vote

State = Mapping[str, float]
"""What has been learned for one application or one of its users: named numbers.

Names of numbers about an arm are ``<kind>/<arm key>``. An empty state is a valid one.
"""


NOBODY: Mapping[Arm, Vote] = types.MappingProxyType({})
"""Votes of nobody."""


class Arm(msgspec.Struct, frozen=True, gc=False):
    """One model version that may answer, as policies know it."""

    key: str
    """Differs for every registration: what was learned of a deleted version helps nobody."""
    name: str
    """The model's name, by which options speak of it."""
    version: str = "1"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


class Asker(msgspec.Struct, frozen=True, gc=False):
    """Whose query it is, and about what: what stable splits are made from."""

    uid: str
    input: bytes


class Choice(msgspec.Struct, frozen=True):
    """Whom a query asks, and with what probability each arm would have been the one."""

    ask: tuple[Arm, ...]
    """Asked at once; the reply waits for them, until its deadline. Nobody: a model that the
    options insist on is not linked or not serving, and the reply is the default."""
    silent: tuple[Arm, ...] = ()
    """Asked at once and never waited for nor returned (shadows)."""
    arms: tuple[Arm, ...] = ()
    """All that could have been chosen, in the order of `propensities`."""
    propensities: tuple[float, ...] = ()
    """Probability with which each of `arms` is the one asked; all 1 when all are asked."""

    def propensity(self, arm: Arm) -> float:
        """Return the probability with which ``arm`` was asked; 0 for a stranger."""
        for known, probability in zip(self.arms, self.propensities, strict=True):
            if known == arm:
                return probability
        return 0.0


class Combined(msgspec.Struct, frozen=True, gc=False):
    """What a policy makes of the votes that arrived in time."""

    output: Output | None
    """None: the application's default output is to be used."""
    confidence: float | None = None
    """Raw, between 0 and 1, for policies that know; None otherwise. Calibrated elsewhere."""
    supporters: tuple[Arm, ...] = ()
    """Whose votes the output is."""


class Addition(msgspec.Struct, frozen=True, gc=False):
    """Add ``amount`` to one number of a state."""

    field: str
    amount: float
    start: float = 0.0
    """The number's value before, should it not be there yet."""


class Floor(msgspec.Struct, frozen=True, gc=False):
    """Numbers ``<kind>/…`` never fall more than ``depth`` below the largest of them.

    Applied after every addition, in the same step: an arm that was bad for long can come back.
    """

    kind: str
    depth: float


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a policy that has none."""


class SelectionPolicy(abc.ABC):
    """Chooses models, combines their outputs, learns from feedback. Make one per application."""

    name: str
    """The name that applications are registered with."""
    Options: ClassVar[type[msgspec.Struct]] = NoOptions
    """What `policy_options` may hold: a frozen struct that forbids unknown fields. Each field has
    a default, its bounds as `msgspec.Meta`, and a description there."""
    learns: bool = True
    """Whether feedback changes what it does. Options may decide it."""
    combines: ClassVar[bool] = False
    """Whether several models answer one query; the reply then says which, and how sure they are."""
    floor: Floor | None = None
    """Holds for every state of the application. Options may decide it."""

    def __init__(self, options: msgspec.Struct) -> None:  # noqa: B027 - most have none
        """Take options of the type `Options`, already checked."""

    def check_arms(self, names: Sequence[str]) -> None:  # noqa: B027 - most accept all
        """Check linked model names against the options.

        Called when a model is linked or unlinked, with all names that will be linked then. More
        may be linked later: a name in the options that is missing here is no fault.

        Raises:
            InvalidRequest: they can never work together.
        """

    @abc.abstractmethod
    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Return whom to ask; ``arms`` are the serving versions in the order they were linked.

        There is at least one arm. An arm that the state does not know has just joined, and gets
        its share fairly: as much as the mean of those that are known.
        """

    def advance(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], missing: Sequence[Arm]
    ) -> Sequence[Arm] | None:
        """Decide after an arrival or a failure how the query goes on. Must be cheap.

        Args:
            votes: of those that have answered.
            missing: those asked that will not answer in time.

        Returns:
            None when nothing that can still come would change the answer, though it might make it
            surer; otherwise further arms to ask now, usually none. Naming one that was asked
            before does nothing. Once everybody asked is heard or missing and nobody further is
            named, the query is combined anyway.
        """
        return ()

    @abc.abstractmethod
    def combine(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], rng: random.Random
    ) -> Combined:
        """Combine the votes that have arrived: any subset of those asked, even none."""

    def seed(self, state: State) -> State:
        """Return what a new user's state starts from, given the whole application's.

        Feedback of the user has to outweigh it soon: a few observations' worth, no more.
        """
        return {}

    def observe(
        self,
        state: State,
        choice: Choice,
        losses: Mapping[Arm, float],
        answer_loss: float | None,
        votes: Mapping[Arm, Vote] = NOBODY,
        answer: Vote | None = None,
    ) -> Sequence[Addition]:
        """Return what to add to the state after feedback on one input.

        Args:
            state: as it is now, which is later than when the choice was made.
            choice: as it was made; or, for feedback on an input that nobody predicted, one made
                for this purpose.
            losses: in [0, 1], of the arms whose outputs for the input are known.
            answer_loss: of the combined answer; None when nothing arrived in time.
            votes: of the arms in ``losses``, late ones too.
            answer: the combined answer, read as a vote; None when nothing arrived in time.
        """
        return ()
