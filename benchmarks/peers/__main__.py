"""Compare Clipper with six other servers: ``python -m benchmarks.peers`` or ``make bench-peers``.

Each server is installed in an environment of its own, started in its recommended production
setting, checked to answer rightly, and measured: closed loops, the highest open-loop rate within
two objectives, and processor time. What is measured is kept at once, so that a run that was broken
off goes on where it ended. A server that cannot be installed or started is left out, with the
reason.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from benchmarks.peers import environments, measure, output, summary, workload
from benchmarks.peers.cells import OBJECTIVES_MS, Cell, Results, plan
from benchmarks.peers.measure import LoadFailedError
from benchmarks.peers.rivals import ALL, REPEATED
from benchmarks.peers.server import ServerFailedError, running
from benchmarks.processes import load_generator
from benchmarks.recorder import RESULTS, machine
from benchmarks.verdict import new_console


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", type=_names(tuple(ALL)), help="servers, with commas between")
    parser.add_argument("--workload", type=_names(workload.WORKLOADS), help="forest, accelerator")
    parser.add_argument("--duration", type=float, default=4.0, help="seconds of a run or a try")
    parser.add_argument(
        "--repetitions", type=int, default=5, help=f"of {', '.join(REPEATED)}; the others have one"
    )
    parser.add_argument("--fresh", action="store_true", help="drop what was measured of these")
    parser.add_argument("--budget", type=float, default=0.0, help="stop after so many seconds")
    parser.add_argument("--report", action="store_true", help="measure nothing, show what there is")
    parser.add_argument("--output", type=Path, default=RESULTS / "peers")
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(os.environ.get("PEERS") or ".peers"),
        help="where the other servers are installed; default: $PEERS, or .peers",
    )
    return parser.parse_args()


def _names(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def main() -> int:
    """Measure what is not measured yet, show and save everything; 0 when nothing was left out."""
    options = arguments()
    # So that contexts are left, and with them no server behind, also when asked to end.
    signal.signal(signal.SIGTERM, _interrupt)
    console = new_console()
    rivals = options.only or list(ALL)
    workloads = options.workload or list(workload.WORKLOADS)
    directory = options.environments.resolve()
    results = Results(options.output / "cells.jsonl")
    if options.fresh:
        results.forget(workloads, rivals)
    cells = plan(workloads, rivals, lambda rival: options.repetitions if rival in REPEATED else 1)
    left_out: dict[str, str] = {}
    if not options.report:
        left_out = _measure(cells, results, directory, options.duration, options.budget)
    table = summary.entries(results.figures)
    verdicts = summary.verdicts(table)
    output.show(console, table, verdicts)
    about = {
        **machine(),
        "settings": {
            name: {
                f"{w} within {ms} ms": ALL[name].settings(w, ms / 1000)
                for w in workload.WORKLOADS
                for ms in OBJECTIVES_MS
            }
            for name in ALL
        },
        "versions": {name: environments.versions(name, directory) for name in ALL},
        "left_out": left_out,
    }
    for path in output.save(options.output, table, verdicts, about):
        console.print(f"saved {path}")
    missing = [cell for cell in cells if cell not in results.figures]
    if missing and not options.report:
        console.print(f"{len(missing)} of {len(cells)} cells are not measured; run it again")
    for name, reason in left_out.items():
        console.print(f"left out {name}: {reason}", markup=False)
    return 1 if left_out else 0


def _measure(
    cells: list[Cell], results: Results, directory: Path, duration_s: float, budget_s: float
) -> dict[str, str]:
    """Measure the cells that have no result; return whom it left out, and why."""
    left_out: dict[str, str] = {}
    stop_s = time.monotonic() + budget_s if budget_s else float("inf")
    models = directory / "models"
    workload.prepare(models)
    for key, group in itertools.groupby(cells, _start):
        todo = [cell for cell in group if cell not in results.figures]
        name = key[1]
        if not todo or name in left_out or time.monotonic() > stop_s:
            continue
        try:
            python = _python(name, directory)
            _measure_group(todo, results, python, models, duration_s, stop_s)
        except (environments.NotInstalledError, ServerFailedError, LoadFailedError) as error:
            left_out[name] = str(error)
            print(f"left out {name}: {error}", flush=True)
    return left_out


def _start(cell: Cell) -> tuple[str, str, int, int]:
    """Cells that this is equal for are measured on one start of the server."""
    return cell.workload, cell.rival, cell.repetition, cell.objective_ms


def _python(name: str, directory: Path) -> Path:
    if missing := ALL[name].missing():
        raise environments.NotInstalledError(missing)
    return environments.interpreter(name, directory)


def _measure_group(
    todo: list[Cell],
    results: Results,
    python: Path,
    models: Path,
    duration_s: float,
    stop_s: float,
) -> None:
    first = todo[0]
    rival, objective_s = ALL[first.rival], first.objective_ms / 1000
    with (
        running(rival, python, first.workload, objective_s, models) as server,
        load_generator() as generator,
    ):
        meter = measure.Meter(generator, duration_s, first.repetition)
        meter.warm_up(server, first.workload)
        for cell in todo:
            if time.monotonic() > stop_s:
                return
            figures = measure.run_cell(meter, server, cell, results.figures)
            results.add(cell, figures)
            load = summary.load_name(cell.kind, cell.level)
            name = f"{cell.workload} {cell.rival} #{cell.repetition + 1} {load}"
            print(
                f"{name}: {figures.rate:,.0f}/s, "
                f"p99 {figures.p99_s * 1000:.1f} ms, {figures.cpu_s_per_answer * 1e6:.0f} µs CPU, "
                f"{figures.errors} errors",
                flush=True,
            )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
