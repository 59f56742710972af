"""One model answers; the others are only watched."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

import msgspec

from clipper.selection.policy import Arm, Asker, Choice, State
from clipper.selection.single import SingleModelPolicy, ask_only, find_model


class ShadowOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `ShadowPolicy`."""

    model: Annotated[
        Annotated[str, msgspec.Meta(min_length=1)] | None,
        msgspec.Meta(description="Name of the model that answers; null: the one linked first."),
    ] = None


class ShadowPolicy(SingleModelPolicy):
    """Asks every model and answers what one of them says; nobody waits for the others."""

    name = "shadow"
    Options = ShadowOptions
    learns = False

    def __init__(self, options: ShadowOptions) -> None:
        self._model = options.model

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Ask the named model, or nobody if it does not serve, and all others silently."""
        primary = find_model(arms, self._model)
        return ask_only(arms, primary, tuple(arm for arm in arms if arm != primary))
