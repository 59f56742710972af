"""How often each arm was judged and how much it lost: what mean losses are made of.

A state holds them as the numbers ``n/<arm key>`` and ``loss/<arm key>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from clipper.selection.policy import Addition, Arm, State

COUNT, LOSS = "n", "loss"
"""Kinds of the two numbers."""

SEED_COUNT = 4.0
"""How many observations of an arm a new user's state starts from, at most."""


class Tally(msgspec.Struct, frozen=True, gc=False):
    """What has been observed of one arm."""

    count: float
    loss: float
    """Sum of its losses."""

    @property
    def mean(self) -> float:
        """Mean loss, between 0 and 1, as if half a loss in one observation came before."""
        return min(1.0, max(0.0, (self.loss + 0.5) / (self.count + 1.0)))


NOTHING = Tally(0.0, 0.0)


def read_tallies(state: State, arms: Sequence[Arm]) -> list[Tally]:
    """Return the tally of each arm.

    One that joins starts as if it had been observed once and lost the others' mean loss.
    """
    found = [_read(state, arm) for arm in arms]
    known = [tally for tally in found if tally is not None]
    if len(known) == len(found):
        return known
    start = Tally(1.0, sum(tally.mean for tally in known) / len(known)) if known else NOTHING
    return [start if tally is None else tally for tally in found]


def _read(state: State, arm: Arm) -> Tally | None:
    key = arm.key
    count = state.get(f"{COUNT}/{key}")
    return None if count is None else Tally(count, state.get(f"{LOSS}/{key}", 0.0))


def count_losses(state: State, arms: Sequence[Arm], losses: Mapping[Arm, float]) -> list[Addition]:
    """Return additions that count losses of arms.

    All that are known count, of arms that were not chosen, too: how often an arm is looked at does
    not bias its mean. An arm that joins is written even if nothing is known of it: otherwise it
    would go on to be as good as the others become.
    """
    additions: list[Addition] = []
    for arm, tally in zip(arms, read_tallies(state, arms), strict=True):
        loss = losses.get(arm)
        if loss is not None or f"{COUNT}/{arm.key}" not in state:
            additions += (
                Addition(f"{COUNT}/{arm.key}", 0.0 if loss is None else 1.0, tally.count),
                Addition(f"{LOSS}/{arm.key}", loss or 0.0, tally.loss),
            )
    return additions


def seed_tallies(state: State) -> dict[str, float]:
    """Return the tallies of a state, scaled down to `SEED_COUNT` observations of each arm."""
    seeded = {}
    for field, count in state.items():
        kind, _, key = field.partition("/")
        if kind == COUNT and count > 0.0:
            kept = min(count, SEED_COUNT)
            seeded[field] = kept
            seeded[f"{LOSS}/{key}"] = state.get(f"{LOSS}/{key}", 0.0) * kept / count
    return seeded
