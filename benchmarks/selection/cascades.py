"""A cascade of a fast and a slow model on labelled examples, and a gate that knows the price.

The product's tuner finds thresholds for a wanted accuracy. What is here beside it is the objective
of the paper (Wang et al., UAI 2018; algorithms §3): mean loss plus a price for every query that the
slow model is asked too.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from scipy.optimize import minimize

from benchmarks.selection.experts import Array
from benchmarks.selection.learning import NOBODY_IN_PARTICULAR, make
from clipper.selection.cascade_tuning import Example
from clipper.selection.gate_fitting import fit_gate
from clipper.selection.policy import Arm, State
from clipper.selection.trust import Gate, read_features
from clipper.selection.votes import Vote, read_vote

Ballots = Sequence[tuple[Mapping[Arm, Vote], str]]
"""Who says what about an image, and its label."""

Options = dict[str, Any]
"""Of the policy ``cascade``."""

_STEPS = 201
_LEARNS_NOTHING: State = {}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a cascade does on examples."""

    accuracy: float
    unsure: float
    """Share of queries that ask the slow model too."""

    def objective(self, price: float) -> float:
        """Return mean loss plus ``price`` for each query that asks the slow model."""
        return 1.0 - self.accuracy + price * self.unsure


def run_cascade(options: Options, arms: Sequence[Arm], examples: Ballots) -> Outcome:
    """Run the policy on examples, as the selector does."""
    policy = make("cascade", **options)
    rng = random.Random(0)
    right = unsure = 0
    for ballot, label in examples:
        choice = policy.choose(_LEARNS_NOTHING, arms, NOBODY_IN_PARTICULAR, rng)
        votes = {arm: ballot[arm] for arm in choice.ask}
        while further := policy.advance(_LEARNS_NOTHING, choice, votes, ()):
            votes |= {arm: ballot[arm] for arm in further}
        output = policy.combine(_LEARNS_NOTHING, choice, votes, rng).output
        right += output is not None and read_vote(output).label == label
        unsure += len(votes) > 1
    return Outcome(right / len(examples), unsure / len(examples))


def examples_of(arms: Sequence[Arm], ballots: Ballots) -> list[Example]:
    """Return what the tuner learns from."""
    return [
        Example(
            tuple(read_features(ballot[arm]) for arm in arms),
            tuple(float(ballot[arm].label != label) for arm in arms),
        )
        for ballot, label in ballots
    ]


def best_on_grid(fast: str, examples: Sequence[Example], price: float) -> Options:
    """Return the threshold on the largest probability with the least objective."""
    sure = np.array([0.0 if e.features[0] is None else e.features[0][0] for e in examples])
    losses = np.array([example.losses for example in examples])

    def objective(threshold: float) -> float:
        keeps = sure >= threshold
        return float(np.where(keeps, losses[:, 0], losses[:, 1] + price).mean())

    return {"threshold": min(np.linspace(0.0, 1.0, _STEPS).tolist(), key=objective)}


def best_gate(fast: str, examples: Sequence[Example], price: float) -> Options:
    """Return a gate fitted to the objective itself.

    A query is kept with the probability that the gate gives, which gives the objective a slope;
    the policy then cuts at one half. The search starts from the gate that knows no price.
    """
    features = [example.features[0] for example in examples]
    fast_losses = [example.losses[0] for example in examples]
    keeps = np.array(fast_losses)
    sends = np.array([example.losses[1] for example in examples]) + price
    inputs = np.array([[1.0, *(one or (0.0, 0.0, 0.0))] for one in features])

    def objective(weights: Array) -> tuple[float, Array]:
        sure = 1.0 / (1.0 + np.exp(-np.clip(inputs @ weights, -60.0, 60.0)))
        slope = (keeps - sends) * sure * (1.0 - sure)
        return float((sure * keeps + (1.0 - sure) * sends).mean()), inputs.T @ slope / len(inputs)

    start = np.array(msgspec.structs.astuple(fit_gate(features, fast_losses)))
    # Where the gate says 1 less the price, keeping costs as much as sending.
    start[0] -= np.log((1.0 - price) / price)
    found = _least(objective, start)
    gate = Gate(*(float(weight) for weight in found))
    return {"signal": "gate", "threshold": 0.5, "gates": {fast: msgspec.structs.asdict(gate)}}


def _least(objective: Any, start: Array) -> Array:
    scales: Iterable[float] = (1.0, 3.0)
    tried = [minimize(objective, scale * start, jac=True, method="L-BFGS-B") for scale in scales]
    best: Array = min(tried, key=lambda result: float(result.fun)).x
    return best
