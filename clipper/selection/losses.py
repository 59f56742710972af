"""How wrong an output is: losses between 0 and 1 (algorithms §1.12)."""

from __future__ import annotations

import enum
from typing import Any

from clipper.errors import InvalidRequest
from clipper.selection.votes import Vote, canonical_label, label_number


class LossKind(enum.StrEnum):
    """Which loss an application's feedback means."""

    ZERO_ONE = "zero-one"
    """0 when the labels are equal, otherwise 1."""
    ABSOLUTE = "absolute"
    """Distance of numbers in units of `loss_scale`, at most 1."""
    SQUARED = "squared"
    """Its square."""


def check_label(value: Any, kind: LossKind, field: str) -> str:
    """Return a label from feedback in its canonical spelling.

    Raises:
        InvalidRequest: naming ``field``, when the value can be no label of that loss.
    """
    if value is None or isinstance(value, list | dict):
        raise InvalidRequest(f"{field}: a label is a number, a string or a boolean.")
    label = canonical_label(value)
    if kind is not LossKind.ZERO_ONE and (
        label_number(label) is None or not isinstance(value, int | float | str)
    ):
        raise InvalidRequest(f"{field}: the loss '{kind}' of this application needs a number.")
    return label


def loss(vote: Vote, label: str, kind: LossKind, scale: float) -> float:
    """Return how wrong a vote is. One without a number is wholly wrong where numbers count."""
    if kind is LossKind.ZERO_ONE:
        return 0.0 if vote.label == label else 1.0
    said, truth = vote.number, label_number(label)
    if said is None or truth is None:
        return 1.0
    distance = min(1.0, abs(said - truth) / scale)
    return distance if kind is LossKind.ABSOLUTE else distance * distance
