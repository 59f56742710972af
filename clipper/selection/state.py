"""What additions do to a selection state, in memory: the reference for the store's script."""

from __future__ import annotations

from collections.abc import Iterable

from clipper.selection.policy import Addition, Floor, State


def apply(state: State, additions: Iterable[Addition], floor: Floor | None) -> dict[str, float]:
    """Return the state after one observation's additions; ``state`` itself stays as it is.

    A number that is not there starts from the addition's ``start``. When all additions are made,
    numbers of the floor's kind rise to the largest of them less its depth.
    """
    after = dict(state)
    for addition in additions:
        after[addition.field] = after.get(addition.field, addition.start) + addition.amount
    if floor is not None:
        prefix = f"{floor.kind}/"
        held = [field for field in after if field.startswith(prefix)]
        if held:
            least = max(after[field] for field in held) - floor.depth
            for field in held:
                if after[field] < least:
                    after[field] = least
    return after
