"""The best model so far, and now and then any other (spec §5.5, EpsilonGreedy)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

import msgspec

from clipper.selection.policy import Arm, Asker, Choice, State
from clipper.selection.single import CountingPolicy, ask_at_random
from clipper.selection.tallies import read_tallies


class EpsilonGreedyOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `EpsilonGreedyPolicy`."""

    epsilon: Annotated[
        float,
        msgspec.Meta(ge=0.0, le=1.0, description="Share of queries that ask any model at random."),
    ] = 0.1


class EpsilonGreedyPolicy(CountingPolicy):
    """Asks the model with the lowest mean loss, and any at random in a small share of queries."""

    name = "epsilon-greedy"
    Options = EpsilonGreedyOptions

    def __init__(self, options: EpsilonGreedyOptions) -> None:
        self._epsilon = options.epsilon

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Ask the best with probability 1 - epsilon; else each with the same probability."""
        means = [tally.mean for tally in read_tallies(state, arms)]
        probabilities = [self._epsilon / len(arms)] * len(arms)
        probabilities[means.index(min(means))] += 1.0 - self._epsilon
        return ask_at_random(arms, probabilities, rng)
