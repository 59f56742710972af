"""Arithmetic of log-weights: how bandits and experts remember without ever underflowing.

The original keeps weights that only shrink, until one is zero and its model is never chosen again.
Here a state holds their logarithms, as numbers ``w/<arm key>``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from clipper.selection.policy import Addition, Arm, State

WEIGHT = "w"
"""Kind of the numbers that are log-weights."""

_LOWEST = -700.0
"""Logarithm of about the smallest double: no share is ever nothing."""


def log_mean(log_weights: Sequence[float]) -> float:
    """Return the logarithm of the mean weight; 0 for none."""
    if not log_weights:
        return 0.0
    peak = max(log_weights)
    return peak + math.log(sum(math.exp(w - peak) for w in log_weights) / len(log_weights))


def read_log_weights(state: State, arms: Sequence[Arm]) -> list[float]:
    """Return the log-weight of each arm; those that join have the mean weight of the others."""
    found = [state.get(f"{WEIGHT}/{arm.key}") for arm in arms]
    known = [weight for weight in found if weight is not None]
    if len(known) == len(found):
        return known
    mean = log_mean(known)
    return [mean if weight is None else weight for weight in found]


def shares(log_weights: Sequence[float], gamma: float) -> list[float]:
    """Return probabilities in proportion to the weights, none below ``gamma`` / their number."""
    peak = max(log_weights)
    weights = [math.exp(max(_LOWEST, weight - peak)) for weight in log_weights]
    scale = (1.0 - gamma) / sum(weights)
    least = gamma / len(weights)
    return [weight * scale + least for weight in weights]


def draw(probabilities: Sequence[float], rng: random.Random) -> int:
    """Return an index, each with its probability."""
    point = rng.random()
    for index, probability in enumerate(probabilities):
        point -= probability
        if point < 0.0:
            return index
    return max(range(len(probabilities)), key=probabilities.__getitem__)  # their sum was rounded


def change(
    state: State, arms: Sequence[Arm], log_weights: Sequence[float], changes: Sequence[float]
) -> list[Addition]:
    """Return additions that change log-weights, as read by `read_log_weights`.

    An arm that joins is written even if its weight does not change: otherwise it would go on to
    be worth whatever the mean of the others becomes. Weights of arms that are gone come down to
    the best that is left; they would hold up the floor under the others for ever, and an arm that
    is linked again would be preferred for losses that it was not there to suffer.
    """
    additions = []
    fields = [f"{WEIGHT}/{arm.key}" for arm in arms]
    for field, weight, amount in zip(fields, log_weights, changes, strict=True):
        if amount or field not in state:
            additions.append(Addition(field, amount, weight))
    ceiling = max(log_weights)
    for field, value in state.items():
        if value > ceiling and field.startswith(f"{WEIGHT}/") and field not in fields:
            additions.append(Addition(field, ceiling - value))
    return additions


def seed_log_weights(state: State, depth: float) -> dict[str, float]:
    """Return the log-weights of a state, none more than ``depth`` below the largest."""
    found = {field: value for field, value in state.items() if field.startswith(f"{WEIGHT}/")}
    peak = max(found.values(), default=0.0)
    return {field: max(value - peak, -depth) for field, value in found.items()}
