"""A split of users over models that stays as it is: weighted rendezvous hashing.

Every model draws lots for a user, by a hash of user and model; the longest lot wins. Lots of the
others do not change with a model's weight, so only users who must move do.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from typing import Annotated

import msgspec

from clipper.selection.policy import Arm, Asker, Choice, State
from clipper.selection.single import SingleModelPolicy

Weight = Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]


class AbOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `AbPolicy`."""

    weights: Annotated[
        dict[str, Weight],
        msgspec.Meta(
            description="Model name → weight of its share. Models not named get nothing; "
            "without weights, and when all that serve have weight 0, all shares are equal."
        ),
    ] = msgspec.field(default_factory=dict)
    salt: Annotated[
        str,
        msgspec.Meta(description="Makes the split independent of those with other salts."),
    ] = ""


class AbPolicy(SingleModelPolicy):
    """Asks the same model for all queries of a user; shares of users are as weighted.

    Queries without a user are split by their input.
    """

    name = "ab"
    Options = AbOptions
    learns = False

    def __init__(self, options: AbOptions) -> None:
        self._weights = options.weights
        self._key = hashlib.blake2b(options.salt.encode(), digest_size=32).digest()

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Ask the arm that wins the user; propensities are the shares of users."""
        weights = [self._weights.get(arm.name, 0.0) for arm in arms]
        total = sum(weights)
        if total <= 0.0:
            weights = [1.0] * len(arms)
            total = float(len(arms))
        unit = b"u" + who.uid.encode() if who.uid else b"i" + who.input
        drawn = hashlib.blake2b(unit, digest_size=16, key=self._key).digest()
        lots = [_lot(drawn, arm.name, weight) for arm, weight in zip(arms, weights, strict=True)]
        return Choice(
            (arms[lots.index(max(lots))],),
            arms=tuple(arms),
            propensities=tuple(weight / total for weight in weights),
        )


def _lot(drawn: bytes, name: str, weight: float) -> float:
    """Return weight / -ln(u), u uniform in (0, 1): the largest one wins in proportion to weight."""
    if weight <= 0.0:
        return 0.0
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=drawn).digest()
    uniform = (int.from_bytes(digest, "big") + 0.5) / 2.0**64
    return weight / -math.log(uniform) if uniform < 1.0 else math.inf
