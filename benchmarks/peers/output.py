"""Shows the comparison and saves it: tables, CSV, JSON, a plot for each workload."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers.rivals import ALL, OURS
from benchmarks.peers.summary import COLUMNS, Entry, Key, load_name
from benchmarks.recorder import write_csv, write_json
from benchmarks.verdict import Verdict, print_verdicts

_CPU_LEVEL = 32
"""Processor time per answer is shown for this closed loop."""


def show(console: Console, table: Mapping[Key, Entry], verdicts: Sequence[Verdict]) -> None:
    """Print a table for each workload, and the verdicts."""
    for workload in sorted({key[0] for key in table}):
        _show_workload(console, workload, table)
    print_verdicts(console, verdicts, "Against the others")
    behind = [verdict.name for verdict in verdicts if verdict.holds is False]
    if behind:
        console.print("does not hold: " + "; ".join(behind))


def _show_workload(console: Console, workload: str, table: Mapping[Key, Entry]) -> None:
    shown = Table(title=f"{workload}: answers per second (Clipper's over it)")
    shown.add_column("server")
    for kind, level in COLUMNS:
        shown.add_column(load_name(kind, level), justify="right", no_wrap=True)
    shown.add_column(f"CPU µs at {_CPU_LEVEL}", justify="right")
    for rival in _rivals(workload, table):
        cells = [_rate(table.get((workload, rival, kind, level))) for kind, level in COLUMNS]
        cost = table.get((workload, rival, "closed", _CPU_LEVEL))
        cpu = f"{cost.cpu_s_per_answer * 1e6:.0f}" if cost else "-"
        shown.add_row(rival, *cells, cpu)
    console.print(shown)


def _rate(entry: Entry | None) -> str:
    if entry is None:
        return "-"
    text = f"{entry.rate:,.0f}"
    if entry.rival == OURS:
        return text
    return f"{text} ({entry.ratio:.2f})" if entry.ratio is not None else f"{text} (-)"


def _rivals(workload: str, table: Mapping[Key, Entry]) -> list[str]:
    return [name for name in ALL if any(key[:2] == (workload, name) for key in table)]


def save(
    directory: Path,
    table: Mapping[Key, Entry],
    verdicts: Sequence[Verdict],
    about: Mapping[str, Any],
) -> list[Path]:
    """Write ``peers.csv``, ``peers.json`` and a plot for each workload; return their paths."""
    rows = [dataclasses.asdict(entry) for entry in table.values()]
    judged = [{**dataclasses.asdict(v), "verdict": _word(v)} for v in verdicts]
    write_csv(directory / "peers.csv", rows)
    write_json(
        directory / "peers.json", {"about": dict(about), "entries": rows, "verdicts": judged}
    )
    plots = [_plot(directory, workload, table) for workload in sorted({key[0] for key in table})]
    return [directory / "peers.csv", directory / "peers.json", *plots]


def _word(verdict: Verdict) -> str:
    return {True: "holds", False: "does not hold", None: "not measured"}[verdict.holds]


def _plot(directory: Path, workload: str, table: Mapping[Key, Entry]) -> Path:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rivals = _rivals(workload, table)
    figure, axes = pyplot.subplots(figsize=(10, 4.5))
    width = 0.8 / len(rivals)
    for place, rival in enumerate(rivals):
        found = [(n, table.get((workload, rival, *load))) for n, load in enumerate(COLUMNS)]
        drawn = [(n, entry) for n, entry in found if entry is not None]
        at = [n + width * (place - (len(rivals) - 1) / 2) for n, _ in drawn]
        rates = [entry.rate for _, entry in drawn]
        spread = [
            [entry.rate - entry.lowest for _, entry in drawn],
            [entry.highest - entry.rate for _, entry in drawn],
        ]
        axes.bar(at, rates, width, yerr=spread, label=rival, error_kw={"linewidth": 0.8})
    axes.set_xticks(range(len(COLUMNS)), [load_name(kind, level) for kind, level in COLUMNS])
    axes.set_yscale("log")
    axes.set_ylabel("right answers per second")
    axes.set_title(f"{workload}: closed loop by connections, open loop by objective")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(ncols=4, fontsize="small")
    figure.tight_layout()
    path = directory / f"peers-{workload}.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
