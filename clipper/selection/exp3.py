"""Exp3 (Auer et al. 2002; NSDI'17 §5.1; algorithms §1.12): one model per query, by weights."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from clipper.selection.policy import NOBODY, Addition, Arm, Asker, Choice, Floor, State
from clipper.selection.single import SingleModelPolicy, ask_at_random
from clipper.selection.votes import Vote
from clipper.selection.weights import (
    WEIGHT,
    change,
    read_log_weights,
    seed_log_weights,
    shares,
)

_SEED_LOSSES = 4.0
"""A new user's weights are as far apart as this many losses of an arm that is asked fairly."""


class Exp3Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `Exp3Policy`."""

    eta: Annotated[
        float, msgspec.Meta(gt=0.0, le=10.0, description="How much one loss counts.")
    ] = 0.05
    gamma: Annotated[
        float,
        msgspec.Meta(
            ge=0.0, le=1.0, description="Share of queries that is spread evenly over all models."
        ),
    ] = 0.01
    depth: Annotated[
        float,
        msgspec.Meta(
            ge=0.1,
            le=700.0,
            description="How far a log-weight may fall below the largest one: "
            "the smaller, the sooner a model that has failed returns.",
        ),
    ] = 7.0


class Exp3Policy(SingleModelPolicy):
    """Asks one model at random, the more often the less it has lost. Needs no assumptions."""

    name = "exp3"
    Options = Exp3Options

    def __init__(self, options: Exp3Options) -> None:
        self._eta = options.eta
        self._gamma = options.gamma
        self._depth = options.depth
        self.floor = Floor(WEIGHT, options.depth)

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Draw an arm by weight; none has a probability below gamma / number of arms."""
        return ask_at_random(arms, shares(read_log_weights(state, arms), self._gamma), rng)

    def seed(self, state: State) -> State:
        """Start from weights that a few losses level."""
        return seed_log_weights(state, _SEED_LOSSES * self._eta * max(1, len(state)))

    def observe(
        self,
        state: State,
        choice: Choice,
        losses: Mapping[Arm, float],
        answer_loss: float | None,
        votes: Mapping[Arm, Vote] = NOBODY,
        answer: Vote | None = None,
    ) -> Sequence[Addition]:
        """Take the loss of the arm that was asked, divided by the probability of asking it.

        Losses of others, known by chance, are left aside: they would count for more than their
        share. A single loss takes no more than the floor would give back.
        """
        asked = choice.ask[0] if choice.ask else None
        if asked is None or asked not in losses:
            return ()
        propensity = choice.propensity(asked)
        if propensity <= 0.0:
            return ()  # another policy chose
        weights = read_log_weights(state, choice.arms)
        penalty = min(self._eta * losses[asked] / propensity, self._depth)
        changes = [-penalty if arm == asked else 0.0 for arm in choice.arms]
        return change(state, choice.arms, weights, changes)
