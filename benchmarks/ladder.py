"""The ladder of ``make bench``: from a bare responder to a random forest, each line a ratio.

``python -m benchmarks.ladder [--rounds N] [--duration S] [--output DIR]``

All servers run at once and take turns, so that whatever else the machine does meets them alike;
every figure is the median over the rounds. See docs/performance.md for how to read the result.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from benchmarks import report
from benchmarks.load import LoadSpec
from benchmarks.processes import (
    HOST,
    LoadGenerator,
    clipper_cluster,
    cpu_seconds,
    load_generator,
    reference_server,
    serve,
    worker_processes,
)
from benchmarks.recorder import Summary, median_of, write_csv, write_json
from clipper.deployers.sklearn import deploy_sklearn_model

CONCURRENCIES = (1, 8, 32, 128)
SLO_S = 0.1
OPEN_LOOP_CONNECTIONS = 200
"""So many that a query hardly ever waits for a free one, and few enough for ``select``."""
OPEN_LOOP_LOAD = 0.5
"""Rate of the open loop as a share of what the line reached with 32 connections."""
OPEN_LOOP_MAX_RATE = 5_000.0
"""Beyond this the generator itself is late, and would be measured instead of the server."""
_NUMBERS_PER_RUN = 10_000_000
"""Distinct inputs are numbered; no run comes near this many."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of the ladder: where to send what, and whose processor time counts."""

    name: str
    port: int
    path: str
    distinct: bool
    frontend_pids: list[int]
    container_pids: list[int]


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """One run, with the processor time that a query cost. Seconds."""

    summary: Summary
    frontend_s: float
    container_s: float


def digit_values(generator: np.random.Generator) -> list[float]:
    """Return an input like a handwritten digit: 64 grey values from 0 to 16."""
    return [float(value) for value in generator.integers(0, 17, 64)]


@contextlib.contextmanager
def all_lines() -> Iterator[list[Line]]:
    """Start every server; yields the ladder from top to bottom."""
    with contextlib.ExitStack() as stack:
        bare_port, bare_pid = stack.enter_context(reference_server("bare"))
        asgi_port, asgi_pid = stack.enter_context(reference_server("asgi"))
        connection, manager = stack.enter_context(clipper_cluster())
        for name, deploy in _models(connection).items():
            serve(connection, name, SLO_S, deploy)
        port = int(manager.get_query_addr().rpartition(":")[2])
        pids, frontend = manager.child_pids(), worker_processes(manager)

        def line(name: str, model: str, distinct: bool) -> Line:
            return Line(
                name, port, f"/{model}/predict", distinct, frontend, pids[f"model:{model}:1"]
            )

        yield [
            Line("bare responder", bare_port, "/noop/predict", True, [bare_pid], []),
            Line("uvicorn, empty app", asgi_port, "/noop/predict", True, [asgi_pid], []),
            line("cache hit", "noop", False),
            line("miss, no-op model", "noop", True),
            line("miss, logistic regression", "logistic", True),
            line("miss, random forest", "forest", True),
        ]


def _models(connection: Any) -> dict[str, Callable[[], None]]:
    generator = np.random.default_rng(7)
    inputs = generator.integers(0, 17, (900, 64)).astype(float)
    labels = generator.integers(0, 10, 900)
    logistic = LogisticRegression(max_iter=20, tol=1.0).fit(inputs, labels)
    forest = RandomForestClassifier(50, max_depth=10, random_state=7).fit(inputs, labels)

    def deploy_noop() -> None:
        connection.deploy_model("noop", "1", "doubles", "noop-container")

    def sklearn(name: str, model: object) -> Callable[[], None]:
        return lambda: deploy_sklearn_model(connection, name, 1, "doubles", None, model)

    return {
        "noop": deploy_noop,
        "logistic": sklearn("logistic", logistic),
        "forest": sklearn("forest", forest),
    }


class Bench:
    """Runs loads one after the other and never repeats a distinct input."""

    def __init__(self, generator: LoadGenerator, duration_s: float) -> None:
        self._generator = generator
        self._duration_s = duration_s
        self._values = digit_values(np.random.default_rng(11))
        self._runs = 0

    def measure(self, line: Line, connections: int, rate: float = 0.0) -> Cost:
        """Do one run; closed loop without a rate."""
        self._runs += 1
        spec = LoadSpec(
            host=HOST,
            port=line.port,
            path=line.path,
            values=self._values,
            connections=connections,
            duration_s=self._duration_s,
            distinct=line.distinct,
            first_number=self._runs * _NUMBERS_PER_RUN,
            slo_s=SLO_S,
            rate=rate,
            seed=self._runs,
        )
        groups = (line.frontend_pids, line.container_pids)
        before_s, started_s = [cpu_seconds(pids) for pids in groups], time.monotonic()
        summary = self._generator.run(spec)
        elapsed_s = time.monotonic() - started_s
        used_s = [cpu_seconds(pids) - b for pids, b in zip(groups, before_s, strict=True)]
        # Warm-up included on both sides of the division: the rate is the same in it.
        answered = max(1.0, summary.throughput * elapsed_s)
        return Cost(summary, used_s[0] / answered, used_s[1] / answered)


def middle(costs: list[Cost]) -> Cost:
    """Return the median of repeated runs."""
    return Cost(
        median_of([cost.summary for cost in costs]),
        float(np.median([cost.frontend_s for cost in costs])),
        float(np.median([cost.container_s for cost in costs])),
    )


def climb(
    lines: list[Line], bench: Bench, rounds: int, advance: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure every line, taking turns; returns one row for each line and kind of load."""
    runs: dict[tuple[str, int], list[Cost]] = {}
    for _ in range(rounds):
        for connections in CONCURRENCIES:
            for line in lines:
                advance(f"{line.name}, {connections} connections")
                cost = bench.measure(line, connections)
                runs.setdefault((line.name, connections), []).append(cost)
    rows = [_row(name, count, 0.0, middle(costs)) for (name, count), costs in runs.items()]
    for line in lines:
        half = OPEN_LOOP_LOAD * middle(runs[line.name, 32]).summary.throughput
        rate = min(half, OPEN_LOOP_MAX_RATE)
        advance(f"{line.name}, open loop")
        costs = [bench.measure(line, OPEN_LOOP_CONNECTIONS, rate) for _ in range(rounds)]
        rows.append(_row(line.name, OPEN_LOOP_CONNECTIONS, rate, middle(costs)))
    return rows


def _row(name: str, connections: int, rate: float, cost: Cost) -> dict[str, Any]:
    return {
        "line": name,
        "connections": connections,
        "rate": rate,
        **dataclasses.asdict(cost.summary),
        "frontend_s_per_query": cost.frontend_s,
        "container_s_per_query": cost.container_s,
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of every run")
    parser.add_argument("--duration", type=float, default=1.5, help="seconds of one run")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def main() -> None:
    """Run the ladder, print it, and save every figure."""
    options = arguments()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    total = (options.rounds * len(CONCURRENCIES) + 1) * 6
    with all_lines() as lines, load_generator() as generator, Progress(console=console) as progress:
        task = progress.add_task("measuring", total=total)
        bench = Bench(generator, options.duration)
        rows = climb(
            lines,
            bench,
            options.rounds,
            lambda what: progress.update(task, advance=1, description=what),
        )
    report.show(console, rows, [line.name for line in lines], CONCURRENCIES)
    day = datetime.date.today().isoformat()
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "date": day}
    write_json(options.output / f"ladder-{day}.json", {"machine": machine, "rows": rows})
    write_csv(options.output / f"ladder-{day}.csv", rows)
    console.print(f"every figure: {options.output}/ladder-{day}.json and .csv")


if __name__ == "__main__":
    main()
