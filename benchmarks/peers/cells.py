"""The cells of the comparison, and the file that keeps those which are measured."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.rival import CONCURRENCIES

OBJECTIVES_MS = (50, 20)


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One thing to measure once."""

    workload: str
    rival: str
    repetition: int
    kind: str
    """``closed``: answers per second. ``open``: the highest rate within an objective."""
    level: int
    """Connections of a closed loop; milliseconds of an open loop's objective."""

    @property
    def objective_ms(self) -> int:
        """The objective that the server is set up for."""
        return self.level if self.kind == "open" else OBJECTIVES_MS[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What a cell's measurement gave."""

    rate: float
    """Right answers per second of a closed loop; the highest sustained rate of an open loop."""
    p50_s: float
    p99_s: float
    errors: int
    cpu_s_per_answer: float
    """Of all processes of the server."""
    client_busy: float
    """Share of one processor that the load generator used."""
    duration_s: float
    """Of the run, or of one try."""
    tries: list[dict[str, float]] = dataclasses.field(default_factory=list)
    """Open loop: each rate with the share of answers in time and how late the generator was."""


def plan(
    workloads: Sequence[str], rivals: Sequence[str], repetitions: Callable[[str], int]
) -> list[Cell]:
    """Return all cells in the order of measuring: within a repetition, the rivals take turns.

    Cells of one rival that need the same set-up are neighbours, so that it starts once for them.
    """
    kinds = [("closed", level) for level in CONCURRENCIES]
    kinds += [("open", level) for level in OBJECTIVES_MS]
    most = max((repetitions(rival) for rival in rivals), default=0)
    return [
        Cell(workload, rival, repetition, kind, level)
        for workload in workloads
        for repetition in range(most)
        for rival in rivals
        if repetition < repetitions(rival)
        for kind, level in kinds
    ]


class Results:
    """Measured cells, in a file that grows by a JSON line each: a run goes on where it ended."""

    def __init__(self, path: Path) -> None:
        """Read what there is; the file need not exist."""
        self._path = path
        self.figures: dict[Cell, Figures] = {}
        if path.exists():
            text = path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            if whole != text:  # a crash cut the last line short
                path.write_text(whole, encoding="utf-8")
            for line in whole.splitlines():
                row = json.loads(line)
                self.figures[Cell(**row["cell"])] = Figures(**row["figures"])

    def add(self, cell: Cell, figures: Figures) -> None:
        """Keep a cell's figures, on disk before this returns."""
        self.figures[cell] = figures
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(cell, figures))

    def forget(self, workloads: Iterable[str], rivals: Iterable[str]) -> None:
        """Drop what was measured of these."""
        for cell in list(self.figures):
            if cell.workload in workloads and cell.rival in rivals:
                del self.figures[cell]
        if self._path.exists():
            lines = [_line(cell, figures) for cell, figures in self.figures.items()]
            self._path.write_text("".join(lines), encoding="utf-8")


def _line(cell: Cell, figures: Figures) -> str:
    row: dict[str, Any] = {
        "cell": dataclasses.asdict(cell),
        "figures": dataclasses.asdict(figures),
    }
    return json.dumps(row) + "\n"
