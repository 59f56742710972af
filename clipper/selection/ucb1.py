"""UCB1 (Auer, Cesa-Bianchi, Fischer 2002): the model that may yet be the best.

The original adds the bonus to a loss, which makes it avoid what it does not know, and takes the
logarithm of the number of models instead of that of the observations (spec §1.13, trap 8).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Annotated

import msgspec

from clipper.selection.policy import Arm, Asker, Choice, State
from clipper.selection.single import CountingPolicy, ask_only
from clipper.selection.tallies import Tally, read_tallies


class Ucb1Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `Ucb1Policy`."""

    exploration: Annotated[
        float,
        msgspec.Meta(
            ge=0.0,
            le=10.0,
            description="Factor on the bonus of models that were rarely observed; 1 is UCB1's own.",
        ),
    ] = 1.0


class Ucb1Policy(CountingPolicy):
    """Asks the model with the highest reward that its observations leave possible."""

    name = "ucb1"
    Options = Ucb1Options

    def __init__(self, options: Ucb1Options) -> None:
        self._exploration = options.exploration

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Ask the arm with the largest mean reward plus bonus; nothing is left to chance."""
        tallies = read_tallies(state, arms)
        observations = math.log(max(1.0, sum(tally.count for tally in tallies)))
        bounds = [self._bound(tally, observations) for tally in tallies]
        return ask_only(arms, arms[bounds.index(max(bounds))])

    def _bound(self, tally: Tally, log_observations: float) -> float:
        if tally.count <= 0.0:
            return math.inf
        reward = 1.0 - min(1.0, tally.loss / tally.count)
        return reward + self._exploration * math.sqrt(2.0 * log_observations / tally.count)
