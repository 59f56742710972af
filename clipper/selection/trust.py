"""When a cheap model's answer is good enough: the signals of cascades (UAI'18; algorithms §3)."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

import msgspec

from clipper.selection.votes import Vote

Signal = Literal["max-probability", "entropy", "gate"]


class Features(NamedTuple):
    """What a vote tells about its own reliability."""

    max_probability: float
    """Probability of the label it names."""
    entropy: float
    """Of its probabilities, in nats; of label and not-label when it gives only a confidence."""
    margin: float
    """Largest probability less the second largest."""


Coefficient = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logistic regression of "the answer is right" on a vote's features, as a tuner fits it."""

    intercept: Coefficient = 0.0
    max_probability: Coefficient = 0.0
    entropy: Coefficient = 0.0
    margin: Coefficient = 0.0

    def probability(self, features: Features) -> float:
        """Return the probability that the answer is right."""
        score = (
            self.intercept
            + self.max_probability * features.max_probability
            + self.entropy * features.entropy
            + self.margin * features.margin
        )
        if score >= 0.0:
            return 1.0 / (1.0 + math.exp(-score))
        return math.exp(score) / (1.0 + math.exp(score))


def read_features(vote: Vote) -> Features | None:
    """Return a vote's features; None when it says nothing about its confidence."""
    if vote.confidence is None:
        return None
    given = vote.probabilities
    total = sum(given.values()) if given else 0.0
    if given and total > 0.0:
        chances = sorted((value / total for value in given.values()), reverse=True)
    else:
        chances = sorted((vote.confidence, 1.0 - vote.confidence), reverse=True)
    entropy = -sum(chance * math.log(chance) for chance in chances if chance > 0.0)
    margin = chances[0] - (chances[1] if len(chances) > 1 else 0.0)
    return Features(vote.confidence, entropy, margin)


def is_sure(vote: Vote, signal: Signal, threshold: float, gate: Gate | None) -> bool:
    """Return whether a vote is good enough; one that says nothing of its confidence never is.

    Args:
        threshold: least probability, or with ``entropy`` the largest entropy in nats.
        gate: without one, the signal ``gate`` is never sure.
    """
    features = read_features(vote)
    if features is None:
        return False
    if signal == "entropy":
        return features.entropy <= threshold
    if signal == "gate":
        return gate is not None and gate.probability(features) >= threshold
    return features.max_probability >= threshold
