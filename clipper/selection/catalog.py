"""Policy name → policy: those of this package, and of others by entry point.

Another package adds a policy to the group ``clipper.policies``, under the policy's name. It is
imported when an application asks for that name, and not before: if it is broken, only that
application suffers.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import random
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from clipper.errors import InvalidRequest
from clipper.selection.ab import AbPolicy
from clipper.selection.cascade import CascadePolicy
from clipper.selection.default_output import DefaultOutputPolicy
from clipper.selection.ensemble import EnsemblePolicy
from clipper.selection.epsilon_greedy import EpsilonGreedyPolicy
from clipper.selection.exp3 import Exp3Policy
from clipper.selection.exp4 import Exp4Policy
from clipper.selection.options import decode_options, option_schemas
from clipper.selection.policy import (
    NOBODY,
    Addition,
    Arm,
    Asker,
    Choice,
    Combined,
    SelectionPolicy,
    State,
)
from clipper.selection.shadow import ShadowPolicy
from clipper.selection.static import StaticPolicy
from clipper.selection.thompson import ThompsonPolicy
from clipper.selection.ucb1 import Ucb1Policy
from clipper.selection.votes import Vote

ENTRY_POINT_GROUP = "clipper.policies"

_POLICIES: dict[str, type[SelectionPolicy]] = {
    policy.name: policy
    for policy in (
        DefaultOutputPolicy,
        StaticPolicy,
        EpsilonGreedyPolicy,
        Ucb1Policy,
        ThompsonPolicy,
        Exp3Policy,
        Exp4Policy,
        EnsemblePolicy,
        AbPolicy,
        ShadowPolicy,
        CascadePolicy,
    )
}


class UnknownPolicy(SelectionPolicy):
    """Stands in for a stored policy that this version does not know or cannot load.

    Another version may have written it; only the application that has it must suffer.
    """

    learns = False

    def __init__(self, name: str, reason: str | None = None) -> None:
        """Take the stored name and why it is refused; without a reason, the name is unknown."""
        self.name = name
        self._text = f"{name} is an invalid  selection_policy." if reason is None else reason

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Raise InvalidRequest (text of spec §2.5, with its two blanks)."""
        self._refuse()

    def combine(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], rng: random.Random
    ) -> Combined:
        """Raise InvalidRequest."""
        self._refuse()

    def observe(
        self,
        state: State,
        choice: Choice,
        losses: Mapping[Arm, float],
        answer_loss: float | None,
        votes: Mapping[Arm, Vote] = NOBODY,
        answer: Vote | None = None,
    ) -> Sequence[Addition]:
        """Raise InvalidRequest."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InvalidRequest(self._text)


class PolicyDescription(msgspec.Struct, frozen=True):
    """One policy, for documentation and help."""

    name: str
    text: str
    options: Mapping[str, Mapping[str, Any]] = {}
    """Name → JSON schema, with `default` and `description`."""
    learns: bool = True
    combines: bool = False


def policy_names() -> tuple[str, ...]:
    """Return the names that applications can be registered with, the default one first."""
    return (*_POLICIES, *sorted(_foreign()))


def find_policy(name: str) -> type[SelectionPolicy]:
    """Return the policy of that name.

    Raises:
        InvalidRequest: there is none, or the package that has it cannot be imported.
    """
    policy = _POLICIES.get(name)
    if policy is not None:
        return policy
    entry = _foreign().get(name)
    if entry is None:
        known = ", ".join(policy_names())
        raise InvalidRequest(f"policy '{name}' is not known; use one of: {known}")
    return _load(entry)


def make_policy(name: str, options: Mapping[str, Any]) -> SelectionPolicy:
    """Return the policy of a stored name with stored options.

    One that refuses every query, when this version does not know the name or the options.
    """
    if name not in _POLICIES and name not in _foreign():
        return UnknownPolicy(name)
    try:
        policy = find_policy(name)
        return policy(decode_options(policy, options))
    except InvalidRequest as error:
        return UnknownPolicy(name, error.msg)
    except Exception as error:  # of another package's constructor
        return UnknownPolicy(name, f"policy '{name}' cannot be made: {error!r}")


def describe_policies() -> tuple[PolicyDescription, ...]:
    """Return a description of every policy; those of other packages are named and not loaded."""
    own = tuple(describe_policy(policy) for policy in _POLICIES.values())
    return own + tuple(
        PolicyDescription(name, f"Of the package {_package(entry)}.")
        for name, entry in sorted(_foreign().items())
    )


def describe_policy(policy: type[SelectionPolicy]) -> PolicyDescription:
    """Return what a policy's own texts say about it: the first line, and each option."""
    return PolicyDescription(
        policy.name,
        (inspect.getdoc(policy) or "").partition("\n")[0],
        option_schemas(policy),
        policy.learns,
        policy.combines,
    )


def _foreign() -> dict[str, importlib.metadata.EntryPoint]:
    found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    return {entry.name: entry for entry in found if entry.name not in _POLICIES}


def _load(entry: importlib.metadata.EntryPoint) -> type[SelectionPolicy]:
    where = f"policy '{entry.name}' of the package {_package(entry)} ({entry.value})"
    try:
        policy = entry.load()
    except Exception as error:  # whatever an import can raise
        raise InvalidRequest(f"{where} cannot be loaded: {error!r}") from error
    if not (isinstance(policy, type) and issubclass(policy, SelectionPolicy)):
        raise InvalidRequest(f"{where} is not a class derived from SelectionPolicy")
    if getattr(policy, "name", None) != entry.name:
        raise InvalidRequest(f"{where} calls itself {getattr(policy, 'name', None)!r}")
    return policy


def _package(entry: importlib.metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"
