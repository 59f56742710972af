"""What a vote tells about its own sureness: the signals that a cascade stops by (IDK cascades).

All three are between 0 and 1. A model that says nothing about its sureness is wholly unsure, so
that a cascade goes on.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clipper.selection.votes import Label, Vote

GATE_SIZE = 4
"""Coefficients of a learned gate: bias, and weights of the three signals in their order."""


class Signal(enum.StrEnum):
    """Which number says how sure a vote is."""

    MAX_PROBABILITY = "max-probability"
    """Probability of the label that the model names."""
    ENTROPY = "entropy"
    """1 less the entropy of its probabilities."""
    GATE = "gate"
    """A logistic regression on all three signals, learned from labelled data."""


class ConfidenceSignals(NamedTuple):
    """What one vote's probabilities say."""

    max_probability: float
    """Of the label that the vote names."""
    entropy: float
    """Of the distribution, in units of that of the uniform one: 0 is certain, 1 knows nothing."""
    margin: float
    """Between the two most probable labels."""


_UNSURE = ConfidenceSignals(0.0, 1.0, 0.0)


def confidence_signals(vote: Vote) -> ConfidenceSignals:
    """Return the signals of a vote.

    A model that gives the confidence of its label alone is taken to see one other label. Of
    probabilities that do not sum to 1 the shares count.
    """
    if vote.probabilities is not None and len(vote.probabilities) > 1:
        return _of_distribution(vote.confidence, vote.probabilities)
    if vote.confidence is None:
        return _UNSURE
    sure = vote.confidence
    if sure <= 0.5:
        return ConfidenceSignals(sure, 1.0, 0.0)
    return ConfidenceSignals(sure, _entropy((sure, 1.0 - sure)), 2.0 * sure - 1.0)


def _of_distribution(
    confidence: float | None, probabilities: Mapping[Label, float]
) -> ConfidenceSignals:
    total = sum(probabilities.values())
    if total <= 0.0:
        return _UNSURE
    shares = sorted((value / total for value in probabilities.values()), reverse=True)
    sure = shares[0] if confidence is None else confidence
    return ConfidenceSignals(sure, _entropy(shares), shares[0] - shares[1])


def _entropy(shares: Sequence[float]) -> float:
    nats = -sum(share * math.log(share) for share in shares if share > 0.0)
    return min(1.0, max(0.0, nats / math.log(len(shares))))


def signal_confidence(
    signals: ConfidenceSignals, signal: Signal, gate: Sequence[float] = ()
) -> float:
    """Return the one number between 0 and 1 that is compared with a cascade's threshold.

    Args:
        signals: of the vote.
        signal: which number.
        gate: `GATE_SIZE` coefficients; needed for the learned gate alone.
    """
    if signal is Signal.MAX_PROBABILITY:
        return signals.max_probability
    if signal is Signal.ENTROPY:
        return 1.0 - signals.entropy
    bias, w_max_probability, w_entropy, w_margin = gate
    return sigmoid(
        bias
        + w_max_probability * signals.max_probability
        + w_entropy * signals.entropy
        + w_margin * signals.margin
    )


def sigmoid(log_odds: float) -> float:
    """Return the probability with these log-odds; never overflows."""
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-min(log_odds, 700.0)))
    grown = math.exp(max(log_odds, -700.0))
    return grown / (1.0 + grown)
