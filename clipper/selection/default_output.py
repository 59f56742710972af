"""One model, or the default output: the policy of every released Clipper (spec §5.2)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from clipper.datatypes import DEFAULT_POLICY
from clipper.selection.policy import Arm, Asker, Choice, State
from clipper.selection.single import SingleModelPolicy, ask_only


class DefaultOutputPolicy(SingleModelPolicy):
    """Asks the model that was linked first."""

    name = DEFAULT_POLICY
    learns = False

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Ask the first arm."""
        return ask_only(arms, arms[0])
