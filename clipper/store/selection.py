"""The part of the store that the model selection layer uses. No Redis in this file.

A selection state is a set of named numbers. It is changed only by additions, each applied exactly
once whatever is lost and repeated on the way (design decision 15). States belong to one
registration of an application: `generation` tells registrations of the same name apart.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clipper.errors import InvalidRequest

APPLICATION = ""
"""The user id of the state that an application has for itself."""


class StateKey(NamedTuple):
    """Whose state it is."""

    app: str
    generation: int
    uid: str = APPLICATION


class Increment(NamedTuple):
    """Add ``amount`` to a number; ``start`` is its value before, should it not be there yet."""

    field: str
    amount: float
    start: float = 0.0


class Clamp(NamedTuple):
    """After the additions, raise numbers ``<kind>/…`` to at least their maximum less ``depth``."""

    kind: str
    depth: float


@dataclasses.dataclass(frozen=True, slots=True)
class StateUpdate:
    """What one feedback adds to one state.

    Raises:
        InvalidRequest: a number is not finite or has no name, or a depth is negative.
    """

    key: StateKey
    increments: Sequence[Increment]
    clamp: Clamp | None = None
    seed: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """What a state that does not exist yet starts from."""

    def __post_init__(self) -> None:
        """Refuse what would spoil the state, and with it the feedback of others."""
        for field, amount, start in self.increments:
            _check(field, amount)
            _check(field, start)
        for field, value in self.seed.items():
            _check(field, value)
        if self.clamp is not None:
            _check(self.clamp.kind, self.clamp.depth)
            if self.clamp.depth < 0:
                raise InvalidRequest(
                    f"The depth of the clamp of '{self.clamp.kind}' is {self.clamp.depth:g}; it "
                    "must not be negative"
                )


def _check(field: str, number: float) -> None:
    if not field:
        raise InvalidRequest("A number of a selection state has an empty name; give it one")
    if not math.isfinite(number):
        raise InvalidRequest(
            f"The number '{field}' of a selection state would change by {number}; feedback and "
            "policies may only add finite numbers"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class FeedbackWrite:
    """One feedback: all of it is stored, once, or nothing is."""

    idempotency_key: str
    """Feedback of the same application with the same key counts once, for hours at least."""
    updates: Sequence[StateUpdate]
    log_entry: bytes | None = None
    """Appended to the application's log; None: nothing is."""


class StoredState(NamedTuple):
    """A state as the store has it."""

    version: int
    """How many feedbacks are in it; 0: there is none yet."""
    values: Mapping[str, float]


class SelectionStore(abc.ABC):
    """Selection states, choices and the log of feedback.

    Every method but `close` may raise StoreUnavailable.
    """

    @abc.abstractmethod
    async def write_feedback(
        self, app: str, generation: int, writes: Sequence[FeedbackWrite]
    ) -> list[bool]:
        """Store feedback of one application in one step; True where it was new.

        When this returns, the server has it on disk. Harmless when repeated; what an attempt stored
        whose answer was lost is not new to the next. Sums beyond the range of doubles stay at its
        ends.

        Raises:
            InvalidRequest: this registration of the application is deleted.
            StoreUnavailable: it may or may not be stored; or the server does not keep what it is
                told (no append-only file) and the text says how to change that.
        """

    @abc.abstractmethod
    async def read_states(self, keys: Sequence[StateKey]) -> list[StoredState]:
        """Return the states, in order."""

    @abc.abstractmethod
    async def read_state_versions(self, keys: Sequence[StateKey]) -> list[int]:
        """Return the versions alone, in order: cheaper, to find out what has changed."""

    @abc.abstractmethod
    async def write_choices(self, app: str, records: Mapping[int, bytes]) -> None:
        """Keep records of choices, by query id, until they expire."""

    @abc.abstractmethod
    async def read_choices(self, app: str, query_ids: Sequence[int]) -> list[bytes | None]:
        """Return the records of choices, in order; None where there is none (any more)."""

    @abc.abstractmethod
    async def read_feedback_log(self, app: str, generation: int, count: int) -> list[bytes]:
        """Return the newest entries of an application's log, oldest first."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Release the connections."""
