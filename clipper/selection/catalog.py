"""Policy name → policy."""

from __future__ import annotations

from clipper.errors import InvalidRequest
from clipper.selection.default_output import DefaultOutputPolicy
from clipper.selection.policy import SelectionPolicy

_POLICIES: dict[str, type[SelectionPolicy]] = {DefaultOutputPolicy.name: DefaultOutputPolicy}


def make_policy(name: str) -> SelectionPolicy:
    """Return the policy of that name.

    Raises:
        InvalidRequest: there is none (text of spec §2.5, with its two blanks).
    """
    policy = _POLICIES.get(name)
    if policy is None:
        raise InvalidRequest(f"{name} is an invalid  selection_policy.")
    return policy()
