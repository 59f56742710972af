"""Checks of what a user passes to the client, before anything is started (spec §10.3)."""

from __future__ import annotations

import re

from clipper.datatypes import ADAPTIVE_BATCH_SIZE, InputType
from clipper.errors import ClipperException

_DNS_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_RULE = (
    "It must consist of lower case letters, digits and '-', and start and end with a letter or "
    "digit, e.g. 'my-model-1'."
)


def check_model_name(name: str) -> None:
    """Raise ClipperException unless the name can be part of an image or host name."""
    _check_label(name, "a model name")


def check_model_version(version: str) -> None:
    """Raise ClipperException unless the version can be part of an image or host name."""
    _check_label(version, "a model version")


def _check_label(value: object, what: str) -> None:
    # The two blanks before "subdomain" are in the original's text, which scripts may match.
    if not isinstance(value, str) or _DNS_1123_LABEL.fullmatch(value) is None:
        raise ClipperException(
            f"Invalid value: {value}: {what} must be a valid DNS-1123  subdomain. {_RULE}"
        )


def canonical_input_type(text: str) -> str:
    """Return the canonical spelling of an input type or alias; ClipperException if unknown."""
    try:
        return InputType.parse(text).value
    except (ValueError, AttributeError):
        known = ", ".join(InputType)
        raise ClipperException(f"{text} is not a valid input string. Use one of: {known}") from None


def check_num_replicas(num_replicas: int) -> None:
    """Raise ClipperException unless it is a whole number, zero or more."""
    if isinstance(num_replicas, bool) or not isinstance(num_replicas, int) or num_replicas < 0:
        raise ClipperException(
            f"Invalid number of replicas: {num_replicas}. It must be a whole number, 0 or more"
        )


def check_batch_size(batch_size: int) -> None:
    """Raise ClipperException unless positive or -1 (adaptive)."""
    whole = isinstance(batch_size, int) and not isinstance(batch_size, bool)
    if not whole or (batch_size <= 0 and batch_size != ADAPTIVE_BATCH_SIZE):
        raise ClipperException(
            "The batch size must be positive or DEFAULT_BATCH_SIZE, which is "
            f"{ADAPTIVE_BATCH_SIZE}. Got {batch_size}"
        )


def check_labels(labels: list[str]) -> None:
    """Raise ClipperException if a label is no string or contains ``,`` or ``:``."""
    for label in labels:
        if not isinstance(label, str) or any(mark in label for mark in ",:"):
            raise ClipperException(f"Invalid label supplied: {label}. Contains one of: ',', ':'")
