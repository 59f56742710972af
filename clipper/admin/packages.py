"""Package names that old scripts use and that pip installs no more."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clipper.errors import ClipperException

_RENAMED = {"sklearn": "scikit-learn"}
"""The index refuses to install the old name since 2023."""

_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)")


def current_names(requirements: Sequence[str] | None) -> list[str] | None:
    """Return the requirements with packages under the names that they have today.

    Raises:
        ClipperException: one text instead of a list, whose letters would be packages.
    """
    if requirements is None:
        return None
    if isinstance(requirements, str):
        raise ClipperException(
            f"pkgs_to_install must be a list of requirements: [{requirements!r}]"
        )
    return [_NAME.sub(_current, requirement, count=1) for requirement in requirements]


def _current(found: re.Match[str]) -> str:
    return _RENAMED.get(found[1].lower(), found[0])
