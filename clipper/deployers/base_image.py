"""Choice of the stock image that fits this interpreter (spec §10.7, decision A24)."""

from __future__ import annotations

import sys

from clipper.errors import ClipperException
from clipper.managers.stock_images import SUPPORTED_MINORS, stock_image


def choose_base_image(
    base_image: str,
    family: str,
    deployer: str,
    python: tuple[int, int] = sys.version_info[:2],
) -> str:
    """Return the given image, or for ``default`` the family's stock image for this Python.

    Args:
        family: image name with ``{python}`` where the interpreter's version goes.
        deployer: how the deployer calls itself in the error.

    Raises:
        ClipperException: there is no stock image for this interpreter.
    """
    if base_image != "default":
        return base_image
    major, minor = python
    if major != 3 or minor not in SUPPORTED_MINORS:
        known = [f"3.{supported}" for supported in SUPPORTED_MINORS]
        raise ClipperException(
            f"{deployer} deployer only supports Python {', '.join(known[:-1])}, and {known[-1]}. "
            f"Detected {major}.{minor}"
        )
    return stock_image(family.format(python=f"{major}{minor}"))
