"""``python -m benchmarks.simulation``: run experiments, print and save what they show."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.recorder import write_csv, write_json
from benchmarks.simulation import (
    e02_strategies,
    e03_optimum,
    e04_slowdown,
    e05_delay,
    e06_query_slo,
    e16_overload,
    quality,
)
from benchmarks.simulation.experiment import Check, Experiment, Row

EXPERIMENTS = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        e02_strategies,
        e03_optimum,
        e04_slowdown,
        e05_delay,
        e06_query_slo,
        e16_overload,
        quality,
    )
}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument(
        "--experiment", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS), metavar="NAME"
    )
    parser.add_argument("--output", type=Path, help="directory for CSV, PNG and JSON files")
    arguments = parser.parse_args()
    console = Console()
    for name in arguments.experiment:
        experiment = EXPERIMENTS[name]
        began_s = time.monotonic()
        rows = experiment.run()
        checks = experiment.verdict(rows)
        show(console, experiment, rows, checks, time.monotonic() - began_s)
        if arguments.output is not None:
            save(arguments.output, experiment, rows, checks)


def show(
    console: Console, experiment: Experiment, rows: list[Row], checks: list[Check], took_s: float
) -> None:
    """Print the figures and the verdict."""
    table = Table(title=f"{experiment.name}: {experiment.title} ({took_s:.1f} s)")
    for column in rows[0]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)
    for check in checks:
        mark = "[green]holds[/]" if check.holds else "[red]does not hold[/]"
        console.print(f"{mark}: {check.text}", highlight=False, soft_wrap=True)


def save(directory: Path, experiment: Experiment, rows: list[Row], checks: list[Check]) -> None:
    """Write the figures, the verdict and a picture."""
    stem = experiment.name.lower()
    write_csv(directory / f"{stem}.csv", rows)
    write_json(
        directory / f"{stem}.json",
        {
            "experiment": experiment.name,
            "title": experiment.title,
            "holds": all(check.holds for check in checks),
            "checks": [{"text": check.text, "holds": check.holds} for check in checks],
        },
    )
    _picture(directory / f"{stem}.png", experiment, rows)


def _picture(path: Path, experiment: Experiment, rows: list[Row]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    across, up, line = experiment.plot
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name in dict.fromkeys(row[line] for row in rows):
        mine = [row for row in rows if row[line] == name]
        axes.plot([row[across] for row in mine], [row[up] for row in mine], "o-", label=name)
    axes.set(xlabel=across, ylabel=up, title=f"{experiment.name}: {experiment.title}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
