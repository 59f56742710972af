"""Choice of the stock image that fits this interpreter (spec §10.7, decision A24)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from clipper.errors import ClipperException
from clipper.managers.stock_images import Family, stock_image


def choose_base_image(
    base_image: str,
    family: Family,
    deployer: str,
    python: tuple[int, int] = sys.version_info[:2],
) -> str:
    """Return the given image, or for ``default`` the family's stock image for this Python.

    Args:
        family: which kind of image the deployer needs.
        deployer: how the deployer calls itself in the error.

    Raises:
        ClipperException: there is no stock image for this interpreter.
    """
    if base_image != "default":
        return base_image
    major, minor = python
    if major != 3 or minor not in family.minors:
        raise ClipperException(
            f"{deployer} deployer only supports Python {_listed(family.minors)}. "
            f"Detected {major}.{minor}"
        )
    return stock_image(family.pattern.format(python=f"{major}{minor}"))


def _listed(minors: Sequence[int]) -> str:
    known = [f"3.{minor}" for minor in minors]
    if len(known) < 2:
        return known[0]
    return f"{', '.join(known[:-1])}, and {known[-1]}"
