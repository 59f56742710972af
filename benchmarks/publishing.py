"""How every experiment hands in its result: CSV for the figures, PNG for people, JSON verdicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks.recorder import machine, write_csv, write_json
from benchmarks.verdict import Verdict, print_verdicts

_PANEL_INCHES = (5.0, 3.6)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What one experiment found."""

    name: str
    """Short and fit for a file, such as ``e05``."""
    title: str
    rows: list[dict[str, Any]]
    verdicts: list[Verdict]
    figure: Figure | None = None
    notes: Sequence[str] = ()
    """What a reader must know to judge the figures."""


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with so many plots side by side."""
    figure = Figure(figsize=(_PANEL_INCHES[0] * count, _PANEL_INCHES[1]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, count, index + 1) for index in range(count)]
    for axis in axes:
        axis.grid(visible=True, alpha=0.3)
    return figure, axes


def publish(console: Console, output: Path, result: Result) -> None:
    """Print the verdicts, and write ``<name>.csv``, ``.json`` and, with a figure, ``.png``."""
    output.mkdir(parents=True, exist_ok=True)
    document = {
        "experiment": result.name,
        "title": result.title,
        "machine": machine(),
        "verdicts": [dataclasses.asdict(verdict) for verdict in result.verdicts],
        "notes": list(result.notes),
    }
    write_json(output / f"{result.name}.json", document)
    write_csv(output / f"{result.name}.csv", result.rows)
    if result.figure is not None:
        result.figure.suptitle(result.title)
        result.figure.savefig(output / f"{result.name}.png", dpi=110)
    if result.verdicts:
        print_verdicts(console, result.verdicts, f"{result.name}: {result.title}")
    for note in result.notes:
        console.print(f"  {note}", soft_wrap=True)
