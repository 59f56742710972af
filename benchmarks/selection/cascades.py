"""Thresholds and gates for a cascade of two models, tuned on labelled examples.

The functions that say "I don't know" of IDK cascades (Wang et al., UAI 2018; algorithms §3): by the
largest probability, by entropy, and by a learned gate, which is fitted either to whether the fast
model is right, or to what the cascade then costs.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from benchmarks.selection.experts import Array
from benchmarks.selection.learning import NOBODY_IN_PARTICULAR, make
from clipper.selection.policy import Arm, State
from clipper.selection.trust import read_features
from clipper.selection.votes import Vote, read_vote

Examples = Sequence[tuple[Mapping[Arm, Vote], str]]

_STEPS = 101
_NOTHING_LEARNED: State = {}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a cascade does on examples."""

    accuracy: float
    unsure: float
    """Share of queries for which the slow model is asked too."""

    def cost(self, slow_cost: float) -> float:
        """Return the cost of a query; asking the fast model costs 1."""
        return 1.0 + self.unsure * slow_cost


Options = dict[str, Any]
"""Of the policy ``cascade``."""


def outcome(options: Options, arms: Sequence[Arm], examples: Examples) -> Outcome:
    """Run the policy on examples, as the selector does."""
    policy = make("cascade", **options)
    rng = random.Random(0)
    right = unsure = 0
    for ballot, label in examples:
        choice = policy.choose(_NOTHING_LEARNED, arms, NOBODY_IN_PARTICULAR, rng)
        votes = {arm: ballot[arm] for arm in choice.ask}
        while further := policy.advance(_NOTHING_LEARNED, choice, votes, ()):
            votes |= {arm: ballot[arm] for arm in further}
        output = policy.combine(_NOTHING_LEARNED, choice, votes, rng).output
        right += output is not None and read_vote(output).label == label
        unsure += len(votes) > 1
    return Outcome(right / len(examples), unsure / len(examples))


def accuracy(arm: Arm, examples: Examples) -> float:
    """Return how often one model is right."""
    return statistics.fmean(ballot[arm].label == label for ballot, label in examples)


def grid(signal: str, gate: Mapping[str, float] | None, fast: Arm) -> Iterable[Options]:
    """Yield the policy's options for every threshold of a signal, the surest last."""
    gates = {} if gate is None else {"gates": {fast.name: dict(gate)}}
    for step in range(_STEPS):
        share = step / (_STEPS - 1)
        threshold = 2.4 * (1.0 - share) if signal == "entropy" else share
        yield {"signal": signal, "threshold": threshold, **gates}


def tune(
    candidates: Iterable[Options], arms: Sequence[Arm], examples: Examples, least_accuracy: float
) -> Options:
    """Return the candidate that asks the slow model least often, of those accurate enough."""
    judged = [(outcome(options, arms, examples), options) for options in candidates]
    enough = [(found.unsure, n) for n, (found, _) in enumerate(judged)
              if found.accuracy >= least_accuracy]  # fmt: skip
    if not enough:
        raise ValueError(f"no candidate is right in {least_accuracy:.1%} of the examples")
    return judged[min(enough)[1]][1]


def fit_gate(fast: Arm, examples: Examples) -> dict[str, float]:
    """Fit a gate to whether the fast model is right: it knows nothing of cost."""
    features, right = _features(fast, examples)
    model = LogisticRegression(C=10.0).fit(features, right)
    return _gate(float(model.intercept_[0]), model.coef_[0].tolist())


def fit_gate_to_cost(
    fast: Arm, slow: Arm, examples: Examples, price: float, start: Mapping[str, float]
) -> dict[str, float]:
    """Fit a gate to the cascade's mean loss plus ``price`` for each query that goes to the slow.

    A query goes there with the probability that the gate gives: what is minimised has a slope.
    The policy cuts at one half.
    """
    features, right = _features(fast, examples)
    slow_wrong = np.array([float(ballot[slow].label != label) for ballot, label in examples])
    keeps, sends = 1.0 - right, slow_wrong + price
    inputs = np.column_stack([np.ones(len(features)), features])

    def objective(weights: Array) -> tuple[float, Array]:
        sure = 1.0 / (1.0 + np.exp(-np.clip(inputs @ weights, -60.0, 60.0)))
        slope = (keeps - sends) * sure * (1.0 - sure)
        penalty = 1e-6 * float(weights @ weights)
        loss = float((sure * keeps + (1.0 - sure) * sends).mean()) + penalty
        return loss, inputs.T @ slope / len(inputs) + 2e-6 * weights

    names = ("intercept", "max_probability", "entropy", "margin")
    first = np.array([start[name] for name in names])
    found = min(
        (minimize(objective, scale * first, jac=True) for scale in (1.0, 3.0)),
        key=lambda result: float(result.fun),
    )
    return _gate(float(found.x[0]), found.x[1:].tolist())


def _features(fast: Arm, examples: Examples) -> tuple[Array, Array]:
    rows = [read_features(ballot[fast]) for ballot, _ in examples]
    right = [float(ballot[fast].label == label) for ballot, label in examples]
    return np.array(rows, dtype=float), np.array(right)


def _gate(intercept: float, coefficients: Sequence[float]) -> dict[str, float]:
    max_probability, entropy, margin = coefficients
    return {
        "intercept": intercept,
        "max_probability": max_probability,
        "entropy": entropy,
        "margin": margin,
    }
