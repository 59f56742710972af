"""Estimators of a policy's mean loss from logged queries, with their uncertainty.

Inverse propensity scoring (IPS) and its self-normalised form (SNIPS) after Horvitz and Thompson
and Swaminathan and Joachims 2015; doubly robust (DR) after Dudík, Langford and Li 2011.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

RESAMPLES = 1000

_Rows = npt.NDArray[np.float64]


class Term(NamedTuple):
    """What one logged query contributes to the estimates."""

    weight: float
    """How much likelier the evaluated policy is to do what was done; 0: it never would."""
    loss: float
    """Of what was done."""
    model: float = 0.0
    """What a model of the losses expects of the evaluated policy here."""
    model_of_done: float = 0.0
    """What it expects of what was done."""


class Estimate(msgspec.Struct, frozen=True):
    """A mean loss."""

    value: float
    standard_error: float
    low: float
    """Lower end of the 95 % interval."""
    high: float


def effective_sample_size(terms: Sequence[Term]) -> float:
    """Return how many queries of equal weight would tell as much (Kish)."""
    weights = np.array([term.weight for term in terms])
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def mean(terms: Sequence[Term], seed: int) -> Estimate:
    """Return the mean of the losses as they are, weights aside."""
    rows = np.array([[term.loss] for term in terms])
    return _bootstrapped(rows, lambda sums, count: sums[0] / count, seed)


def inverse_propensity(terms: Sequence[Term], seed: int) -> Estimate:
    """Return the IPS estimate: unbiased, if the propensities are right; of high variance."""
    rows = np.array([[term.weight * term.loss] for term in terms])
    return _bootstrapped(rows, lambda sums, count: sums[0] / count, seed)


def self_normalised(terms: Sequence[Term], seed: int) -> Estimate:
    """Return the SNIPS estimate: slightly biased, never beyond the losses seen, less variance."""
    rows = np.array([[term.weight * term.loss, term.weight] for term in terms])
    return _bootstrapped(rows, lambda sums, _: sums[0] / sums[1] if sums[1] else np.nan, seed)


def doubly_robust(terms: Sequence[Term], seed: int) -> Estimate:
    """Return the DR estimate: right if the propensities are or the model of the losses is."""
    rows = np.array([[t.model + t.weight * (t.loss - t.model_of_done)] for t in terms])
    return _bootstrapped(rows, lambda sums, count: sums[0] / count, seed)


def _bootstrapped(rows: _Rows, statistic: Callable[[_Rows, int], float], seed: int) -> Estimate:
    count = len(rows)
    rng = np.random.default_rng(seed)
    found = np.empty(RESAMPLES)
    for at in range(RESAMPLES):
        drawn = np.bincount(rng.integers(0, count, count), minlength=count)
        found[at] = statistic(drawn @ rows, count)
    low, high = np.nanquantile(found, (0.025, 0.975))
    return Estimate(
        value=float(statistic(rows.sum(axis=0), count)),
        standard_error=float(np.nanstd(found)),
        low=float(low),
        high=float(high),
    )
