"""When the default output is the better answer: the threshold of least expected cost.

An answer that is wrong costs something, and so does the default. Between answering everything and
nothing lies a confidence below which the default is cheaper (NSDI'17 §5.2.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from clipper.errors import InvalidRequest


class CostPoint(msgspec.Struct, frozen=True):
    """Mean cost of a query when answers below a confidence are replaced by the default."""

    threshold: float
    cost: float
    default_share: float


class DefaultTuning(msgspec.Struct, frozen=True):
    """A threshold for `min_confidence`, and what it costs."""

    best: CostPoint
    never: CostPoint
    """Every answer is given."""
    always: CostPoint
    """None is."""
    curve: tuple[CostPoint, ...]
    """In order of thresholds, those two at its ends."""


def cheapest_min_confidence(
    confidences: Sequence[float],
    losses: Sequence[float],
    cost_of_wrong: float,
    cost_of_default: float,
) -> DefaultTuning:
    """Return the `min_confidence` of least expected cost on labelled answers.

    Args:
        confidences: of the answers, calibrated if the threshold is to be used so.
        losses: of the same answers; a graded loss costs its share of ``cost_of_wrong``.
        cost_of_wrong: what a wrong answer costs.
        cost_of_default: what a default costs.

    Raises:
        InvalidRequest: no answers, or negative costs.
    """
    if not confidences:
        raise InvalidRequest("There is no labelled answer with a confidence: send feedback first")
    if min(cost_of_wrong, cost_of_default) < 0.0:
        raise InvalidRequest("Costs of a wrong answer and of a default must not be negative")
    order = np.argsort(np.array(confidences), kind="stable")
    sure = np.array(confidences)[order]
    lost = np.array(losses)[order] * cost_of_wrong
    total = len(sure)
    # Cost when the k least confident answers are defaults, for every k.
    costs = (np.arange(total + 1) * cost_of_default + lost.sum()
             - np.concatenate(([0.0], np.cumsum(lost)))) / total  # fmt: skip
    splits = [0, *(np.flatnonzero(np.diff(sure) > 0.0) + 1), total]
    curve = tuple(
        CostPoint(_between(sure, int(split)), float(costs[split]), float(split / total))
        for split in splits
    )
    best = min(curve, key=lambda point: point.cost)
    return DefaultTuning(best, curve[0], curve[-1], curve)


def _between(sure: np.ndarray[tuple[int], np.dtype[np.float64]], split: int) -> float:
    if split == 0:
        return 0.0
    if split == len(sure):
        return 1.0
    return float(sure[split - 1] + sure[split]) / 2.0
