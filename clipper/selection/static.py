"""Always the same model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

import msgspec

from clipper.selection.policy import Arm, Asker, Choice, State
from clipper.selection.single import SingleModelPolicy, ask_only, find_model


class StaticOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `StaticPolicy`."""

    model: Annotated[
        Annotated[str, msgspec.Meta(min_length=1)] | None,
        msgspec.Meta(description="Name of the model to ask; null: the one linked first."),
    ] = None


class StaticPolicy(SingleModelPolicy):
    """Asks one model, named in the options or linked first."""

    name = "static"
    Options = StaticOptions
    learns = False

    def __init__(self, options: StaticOptions) -> None:
        self._model = options.model

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Ask the named model, or nobody: another one's answer is not what was ordered."""
        return ask_only(arms, find_model(arms, self._model))
