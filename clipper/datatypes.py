"""Nouns that every part of Clipper shares: input types, model ids, reasons for a default.

Nothing here knows HTTP, gRPC, Redis or a clock. Times are float seconds.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

DEFAULT_POLICY = "DefaultOutputSelectionPolicy"
CONTAINERLESS_MODEL_IMAGE = "NO_CONTAINER"
ADAPTIVE_BATCH_SIZE = -1


class InputType(enum.StrEnum):
    """Input type of an application or model version (interface spec §1.1)."""

    BYTES = "bytes"
    INTEGERS = "integers"
    FLOATS = "floats"
    DOUBLES = "doubles"
    STRINGS = "strings"

    __hash__ = str.__hash__
    """Enum's own is written in Python, and a type is looked up for every query."""

    @classmethod
    def parse(cls, text: str) -> InputType:
        """Return the type that ``text`` or one of its aliases names.

        Raises:
            ValueError: ``<text> is not a valid input string``.
        """
        found = _INPUT_TYPE_ALIASES.get(text.strip().lower())
        if found is None:
            raise ValueError(f"{text} is not a valid input string")
        return found

    @property
    def numpy_dtype(self) -> str | None:
        """Little-endian numpy dtype of one element; None for bytes and strings."""
        return _NUMPY_DTYPES.get(self)


_NUMPY_DTYPES = {InputType.INTEGERS: "<i4", InputType.FLOATS: "<f4", InputType.DOUBLES: "<f8"}

_INPUT_TYPE_ALIASES = {
    alias: input_type
    for input_type, aliases in {
        InputType.BYTES: ("bytes", "byte", "b"),
        InputType.INTEGERS: ("integers", "ints", "integer", "int", "i"),
        InputType.FLOATS: ("floats", "float", "f"),
        InputType.DOUBLES: ("doubles", "double", "d"),
        InputType.STRINGS: ("strings", "string", "strs", "str", "s"),
    }.items()
    for alias in aliases
}


class VersionedModelId(NamedTuple):
    """One version of one model, written ``name:version``."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


class DefaultReason(enum.StrEnum):
    """Why a query got the application's default output (design decision 10)."""

    SLO = "slo"
    NO_REPLICA = "no-replica"
    SHED = "shed"
    MODEL_ERROR = "model-error"
    LOW_CONFIDENCE = "low-confidence"

    @property
    def explanation(self) -> str:
        """Text of ``default_explanation``; the first two are the original's (spec §2.4)."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    DefaultReason.SLO: (
        "Failed to retrieve a prediction response within the specified latency SLO"
    ),
    DefaultReason.NO_REPLICA: "No connected models found for query",
    DefaultReason.SHED: "The query was shed because the model's queue is full",
    DefaultReason.MODEL_ERROR: "The model failed on this input",
    DefaultReason.LOW_CONFIDENCE: "The combined prediction was below the required confidence",
}


class OnDefault(enum.StrEnum):
    """What an application answers when it has no prediction (design decision 10)."""

    OUTPUT = "output"
    ERROR = "error"
