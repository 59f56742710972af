"""What every experiment is: rows of figures, and a verdict on what they should show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One expectation and whether the figures meet it."""

    text: str
    holds: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment of the suite."""

    name: str
    title: str
    run: Callable[[], list[Row]]
    verdict: Callable[[list[Row]], list[Check]]
    plot: tuple[str, str, str]
    """Columns of the picture: x, y, and what tells its lines apart."""


def of(rows: list[Row], **wanted: object) -> list[Row]:
    """Return the rows with all the wanted values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def one(rows: list[Row], **wanted: object) -> Row:
    """Return the only row with all the wanted values."""
    (row,) = of(rows, **wanted)
    return row
