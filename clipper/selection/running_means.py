"""What each model says on average: stands in for a number that does not come in time.

The "anytime estimator" of the original. A state holds ``heard/<arm key>``, how many numbers are in
it, and ``said/<arm key>``, their sum.
"""

from __future__ import annotations

from collections.abc import Mapping

from clipper.selection.policy import Addition, Arm, State
from clipper.selection.tallies import SEED_COUNT
from clipper.selection.votes import Vote

HEARD, SAID = "heard", "said"
"""Kinds of the two numbers."""

_LARGEST = 1e100
"""Sums of larger numbers might leave the range of a double."""


def read_running_mean(state: State, arm: Arm) -> float | None:
    """Return the mean of an arm's numbers; None when none is known."""
    heard = state.get(f"{HEARD}/{arm.key}", 0.0)
    return state.get(f"{SAID}/{arm.key}", 0.0) / heard if heard > 0.0 else None


def count_numbers(votes: Mapping[Arm, Vote]) -> list[Addition]:
    """Return additions that count the votes that are numbers."""
    additions: list[Addition] = []
    for arm, vote in votes.items():
        number = vote.number
        if number is not None and abs(number) <= _LARGEST:
            additions += (
                Addition(f"{HEARD}/{arm.key}", 1.0),
                Addition(f"{SAID}/{arm.key}", number),
            )
    return additions


def seed_running_means(state: State) -> dict[str, float]:
    """Return the running means of a state, scaled down to a few observations."""
    seeded = {}
    for field, heard in state.items():
        kind, _, key = field.partition("/")
        if kind == HEARD and heard > 0.0:
            kept = min(heard, SEED_COUNT)
            seeded[field] = kept
            seeded[f"{SAID}/{key}"] = state.get(f"{SAID}/{key}", 0.0) / heard * kept
    return seeded
