"""A model's output as a vote: the label it names and how sure it says it is.

Models answer with text. A policy sees

* a bare JSON value or any other text: the label is the value;
* an object with ``label`` and, if the model is able to say, ``confidence`` (of that label) or
  ``probabilities`` (an object label → probability, or an array indexed by class);
* an object with ``probabilities`` alone: the label is the most probable one.

Labels that are equal numbers are equal: ``3``, ``3.0`` and ``"3"`` are one vote.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from clipper.outputs import Output

Label = str
"""Labels in one canonical spelling; see `canonical_label`."""


class Vote(msgspec.Struct, frozen=True):
    """What one model says about one input."""

    output: Output
    label: Label
    confidence: float | None = None
    """Probability of the label in the model's own opinion; None when it does not say."""
    probabilities: Mapping[Label, float] | None = None

    @property
    def number(self) -> float | None:
        """The label as a number; None when it is none."""
        return label_number(self.label)


def label_number(label: Label) -> float | None:
    """Return a label as a finite number, or None."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def canonical_label(value: Any) -> Label:
    """Return the one spelling of a JSON value as a label."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        try:
            return _number(float(value))
        except OverflowError:  # beyond the range of doubles an integer is a name like any other
            return str(value)
    if isinstance(value, str):
        number = label_number(value.strip()) if value.strip() else None
        return value.strip() if number is None else _number(number)
    return msgspec.json.encode(value, order="deterministic").decode()


def _number(value: float) -> Label:
    return str(int(value)) if value.is_integer() and abs(value) < 1 << 53 else repr(value)


def read_vote(output: Output) -> Vote:
    """Return what an output says."""
    return _read_vote(output)


@functools.lru_cache(maxsize=4096)
def _read_vote(output: Output) -> Vote:
    try:
        value = msgspec.json.decode(output.json)
    except (msgspec.DecodeError, RecursionError):
        return Vote(output, canonical_label(output.text.decode("utf-8", "replace")))
    if not isinstance(value, dict):
        return Vote(output, canonical_label(value))
    probabilities = _probabilities(value.get("probabilities"))
    if "label" in value:
        label = canonical_label(value["label"])
    elif probabilities:
        label = max(probabilities, key=lambda name: probabilities[name])
    else:
        return Vote(output, canonical_label(value))
    confidence = _probability(value.get("confidence"))
    if confidence is None and probabilities is not None:
        confidence = probabilities.get(label, 0.0)
    return Vote(output, label, confidence, probabilities)


def _probabilities(value: Any) -> dict[Label, float] | None:
    if isinstance(value, list):
        value = {str(index): item for index, item in enumerate(value)}
    if not isinstance(value, dict) or not value:
        return None
    found = {canonical_label(label): _probability(item) for label, item in value.items()}
    if any(item is None for item in found.values()):
        return None
    return {label: item for label, item in found.items() if item is not None}


def _probability(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0.0 <= value <= 1.0 else None


def spell_output(label: Label) -> Output:
    """Return a label as the output of a model that answers with nothing but its label."""
    text = label.encode()
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return Output(text, msgspec.json.encode(label))
    return Output(text, text)
