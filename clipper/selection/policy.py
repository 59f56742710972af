"""The interface of the model selection layer (NSDI'17 §5; algorithms §1.12).

A policy is stateless: everything it learns is in the state, opaque bytes that the store keeps for
each application and user. Policies are pure; random choices take a random source.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from clipper.datatypes import Output, VersionedModelId


class Feedback(NamedTuple):
    """The truth about one input, as the application learned it."""

    label: float


class Combined(msgspec.Struct, frozen=True, gc=False):
    """What a policy makes of the outputs that arrived in time."""

    output: Output | None
    """None: the application's default output is to be used."""
    confidence: float | None = None
    """Between 0 and 1, for policies that know; None otherwise."""


class SelectionPolicy(abc.ABC):
    """Chooses models, combines their outputs, learns from feedback."""

    name: str
    """The name that applications are registered with."""

    @abc.abstractmethod
    def init(self, default_output: str) -> bytes:
        """Return the state of a new application or user."""

    @abc.abstractmethod
    def select(
        self, state: bytes, candidates: Sequence[VersionedModelId]
    ) -> Sequence[VersionedModelId]:
        """Return the models to ask; ``candidates`` are the linked models' serving versions."""

    @abc.abstractmethod
    def combine(self, state: bytes, outputs: Mapping[VersionedModelId, Output]) -> Combined:
        """Combine what has arrived, which may be any subset of what was selected, even nothing."""

    @abc.abstractmethod
    def observe(
        self, state: bytes, feedback: Feedback, outputs: Mapping[VersionedModelId, Output]
    ) -> bytes:
        """Return the state after learning from feedback on one input.

        ``outputs`` are the models' predictions for it that are still known.
        """
