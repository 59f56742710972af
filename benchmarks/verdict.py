"""What a benchmark concludes: a measured figure beside its bar, and whether it holds.

A bar is a ratio, or a figure relative to the objective, never an absolute speed. A figure that does
not hold is reported like one that does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """One claim, measured."""

    name: str
    measured: float
    bar: str
    """The condition in words, such as ``>= 0.8``."""
    holds: bool | None
    """None: not measured in this run."""
    note: str = ""


def at_least(name: str, measured: float, bar: float, note: str = "") -> Verdict:
    """Claim that ``measured`` is ``bar`` or more; nan is never enough."""
    return Verdict(name, measured, f">= {bar:.4g}", measured >= bar, note)


def at_most(name: str, measured: float, bar: float, note: str = "") -> Verdict:
    """Claim that ``measured`` is ``bar`` or less; nan never is."""
    return Verdict(name, measured, f"<= {bar:.4g}", measured <= bar, note)


def between(name: str, measured: float, low: float, high: float, note: str = "") -> Verdict:
    """Claim that ``measured`` lies in a range, ends included."""
    return Verdict(name, measured, f"{low:.4g} to {high:.4g}", low <= measured <= high, note)


def not_measured(name: str, bar: str, note: str) -> Verdict:
    """Name a claim that this run says nothing about, and why."""
    return Verdict(name, math.nan, bar, None, note)


def new_console() -> Console:
    """Return a console for people, wide enough for the tables where there is no terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    return console


def print_verdicts(console: Console, verdicts: Sequence[Verdict], title: str = "Verdicts") -> None:
    """Print all as a table."""
    table = Table(title=title)
    table.add_column("claim", overflow="fold")
    for column in ("measured", "bar", "holds"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    words = {True: "yes", False: "NO", None: "-"}
    for verdict in verdicts:
        figure = "-" if math.isnan(verdict.measured) else f"{verdict.measured:.4g}"
        table.add_row(verdict.name, figure, verdict.bar, words[verdict.holds], verdict.note)
    console.print(table)
