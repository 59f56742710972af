"""Clipper's own images: their names, and which framework of ``clipper.container`` each one runs.

A name is ``<registry>/<family>[<python>][-<rest>]-container:<tag>``, such as
``clipper/python311-closure-container:0.5.0`` (spec §1.7): the interpreter's version stands after
the family's first word, and only where user code runs.
"""

from __future__ import annotations

import dataclasses
import os
import re

import clipper

REGISTRY = os.environ.get("CLIPPER_REGISTRY", "clipper")
"""Registry or namespace that stock image names begin with."""

SUPPORTED_MINORS = (11, 12, 13, 14)
"""Minor versions of Python 3 that have stock images; a family may have fewer."""

FRONTEND_IMAGE = "query_frontend"
"""Both frontends and the store; the next name is another one of the same image."""

MANAGEMENT_IMAGE = "management_frontend"
PROMETHEUS_IMAGE = "prometheus"
BASE_IMAGE = "base{python}-container"
"""What every model image is built upon; ``{python}`` is, for example, ``311``."""

PYTHON_LABEL = "ai.clipper.python"
"""Label of model images; value: the interpreter's version, such as ``3.11``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One kind of model container."""

    name: str
    """The image name without version, such as ``python-closure``."""
    framework: str
    """Framework of ``clipper.container``."""
    needs_model: bool = True
    """Whether it can only be a base image of a model's own image."""
    minors: tuple[int, ...] = SUPPORTED_MINORS
    """Minor versions of Python 3 that the framework itself can be installed for."""

    @property
    def pattern(self) -> str:
        """Image name with ``{python}`` where the interpreter's version goes, if it has one."""
        if not self.needs_model:
            return f"{self.name}-container"
        first, dash, rest = self.name.partition("-")
        return f"{first}{{python}}{dash}{rest}-container"


FAMILIES = {
    family.name: family
    for family in (
        Family("noop", "noop", needs_model=False),
        Family("sum", "sum", needs_model=False),
        Family("python-closure", "python-closure"),
        Family("sklearn", "sklearn"),
        Family("pytorch", "pytorch"),
        Family("tf", "tensorflow", minors=(11, 12, 13)),
        Family("keras", "keras", minors=(11, 12, 13)),
        Family("xgboost", "xgboost"),
        Family("lightgbm", "lightgbm"),
        Family("onnx", "onnx"),
        Family("pyspark", "pyspark"),
        Family("mxnet", "mxnet", minors=(11,)),
    )
}
"""Family name → family."""

_NAME = re.compile(r"([a-z]+)(\d*)((?:-[a-z]+)*?)-container")


@dataclasses.dataclass(frozen=True, slots=True)
class StockImage:
    """What the name of a stock image says."""

    family: Family
    python: str
    """Digits of the interpreter's version, such as ``311``; empty: not said."""


def stock_image(name: str, registry: str | None = None) -> str:
    """Return the full name of one of Clipper's own images, of this version.

    Args:
        registry: None: `REGISTRY`.
    """
    return f"{registry or REGISTRY}/{name}:{clipper.__version__}"


def parse_stock_image(image: str) -> StockImage | None:
    """Return what a stock image's name says, whatever its registry and tag; None: not stock."""
    match = _NAME.fullmatch(image.rpartition("/")[2].partition(":")[0])
    if match is None:
        return None
    first, digits, rest = match.groups()
    family = FAMILIES.get(first + rest)
    return None if family is None else StockImage(family, digits)
