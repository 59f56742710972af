"""What all policies that ask one model per query have in common."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from clipper.selection.policy import (
    NOBODY,
    Addition,
    Arm,
    Choice,
    Combined,
    SelectionPolicy,
    State,
)
from clipper.selection.tallies import count_losses, seed_tallies
from clipper.selection.votes import Vote
from clipper.selection.weights import draw


class SingleModelPolicy(SelectionPolicy):
    """Answers what the one model that was asked answers, as sure as that says it is."""

    def combine(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], rng: random.Random
    ) -> Combined:
        """Return the output of the model that was asked, if it is there."""
        for arm in choice.ask:
            vote = votes.get(arm)
            if vote is not None:
                return Combined(vote.output, vote.confidence, (arm,))
        return Combined(None)


class CountingPolicy(SingleModelPolicy):
    """Learns by counting losses, of every model whose output for the input is known."""

    def seed(self, state: State) -> State:
        """Start from a few observations of each model."""
        return seed_tallies(state)

    def observe(
        self,
        state: State,
        choice: Choice,
        losses: Mapping[Arm, float],
        answer_loss: float | None,
        votes: Mapping[Arm, Vote] = NOBODY,
        answer: Vote | None = None,
    ) -> Sequence[Addition]:
        """Count the losses that are known; a fraction counts as that much of a failure."""
        return count_losses(state, choice.arms, losses)


def ask_at_random(
    arms: Sequence[Arm], probabilities: Sequence[float], rng: random.Random
) -> Choice:
    """Return a choice of one arm, drawn with the given probabilities."""
    return Choice(
        (arms[draw(probabilities, rng)],), arms=tuple(arms), propensities=tuple(probabilities)
    )


def ask_only(arms: Sequence[Arm], asked: Arm | None, silent: tuple[Arm, ...] = ()) -> Choice:
    """Return a choice that left nothing to chance; nobody is asked when ``asked`` is None."""
    return Choice(
        () if asked is None else (asked,),
        silent,
        tuple(arms),
        tuple([1.0 if arm is asked else 0.0 for arm in arms]),
    )


def ask_all(arms: Sequence[Arm]) -> Choice:
    """Return a choice of all arms."""
    everybody = tuple(arms)
    return Choice(everybody, arms=everybody, propensities=(1.0,) * len(everybody))


def find_model(arms: Sequence[Arm], name: str | None) -> Arm | None:
    """Return the arm of that model; the first linked one when no name is given."""
    if name is None:
        return arms[0]
    return next((arm for arm in arms if arm.name == name), None)
