"""Policy name → policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from clipper.datatypes import Output, VersionedModelId
from clipper.errors import InvalidRequest
from clipper.selection.default_output import DefaultOutputPolicy
from clipper.selection.policy import Combined, Feedback, SelectionPolicy

_POLICIES: dict[str, type[SelectionPolicy]] = {DefaultOutputPolicy.name: DefaultOutputPolicy}


class UnknownPolicy(SelectionPolicy):
    """Stands in for a stored name that this version does not know.

    Another version may have written it; only the application that has it must suffer.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def init(self, default_output: str) -> bytes:
        """Return an empty state."""
        return b""

    def select(
        self, state: bytes, candidates: Sequence[VersionedModelId]
    ) -> Sequence[VersionedModelId]:
        """Raise InvalidRequest (text of spec §2.5, with its two blanks)."""
        self._refuse()

    def combine(self, state: bytes, outputs: Mapping[VersionedModelId, Output]) -> Combined:
        """Raise InvalidRequest."""
        self._refuse()

    def observe(
        self, state: bytes, feedback: Feedback, outputs: Mapping[VersionedModelId, Output]
    ) -> bytes:
        """Raise InvalidRequest."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InvalidRequest(f"{self.name} is an invalid  selection_policy.")


def policy_names() -> tuple[str, ...]:
    """Return the names that applications can be registered with, the default one first."""
    return tuple(_POLICIES)


def make_policy(name: str) -> SelectionPolicy:
    """Return the policy of that name; one that refuses every query when there is none."""
    policy = _POLICIES.get(name)
    return UnknownPolicy(name) if policy is None else policy()
