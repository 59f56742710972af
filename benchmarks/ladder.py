"""The ladder of ``make bench``: from a bare responder to a random forest, each line a ratio.

``python -m benchmarks.ladder [--lines line,hit,miss] [--concurrency 1,32] [--rounds N] ...``

All servers run at once and take turns, so that whatever else the machine does meets them alike;
every figure is the median over the rounds. See docs/performance.md for how to read the result.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from benchmarks import models, report
from benchmarks.bars import verdicts
from benchmarks.lines import KINDS, PROTOCOL_SUFFIX, Line, started
from benchmarks.processes import HOST, LoadGenerator, cpu_seconds, load_generator
from benchmarks.recorder import RESULTS, Summary, machine, median_of, write_csv, write_json
from benchmarks.spec import LoadSpec
from benchmarks.verdict import new_console, print_verdicts

LINES = ("bare", "line", "line784", "hit", "hit+", "miss", "miss+", "logistic+", "forest+")
CONCURRENCIES = (1, 8, 32, 128)
OPEN_LOOP_CONNECTIONS = 256
OPEN_LOOP_LOAD = 0.5
"""Rate of the open loop as a share of what the line reached with the most connections."""
_NUMBERS_PER_RUN = 10_000_000
"""Distinct inputs are numbered; no run comes near this many."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """One run, with the processor time that a query cost. Seconds."""

    summary: Summary
    frontend_s: float
    container_s: float


class Bench:
    """Runs loads one after the other and never repeats a distinct input."""

    def __init__(self, generator: LoadGenerator, duration_s: float) -> None:
        self._generator = generator
        self._duration_s = duration_s
        self._runs = 0

    def measure(self, line: Line, connections: int, rate: float = 0.0) -> Cost:
        """Do one run; closed loop without a rate."""
        self._runs += 1
        spec = LoadSpec(
            host=HOST,
            port=line.port,
            path=line.path,
            values=models.values(line.kind.size),
            connections=connections,
            duration_s=self._duration_s,
            inputs=line.kind.inputs,
            first_number=self._runs * _NUMBERS_PER_RUN,
            slo_s=line.kind.slo_s,
            rate=rate,
            seed=self._runs,
            warmup_s=0.0,
            inspect=True,
        )
        groups = (line.frontend_pids, line.container_pids)
        before_s = [cpu_seconds(pids) for pids in groups]
        summary = self._generator.run(spec)
        used_s = [cpu_seconds(pids) - b for pids, b in zip(groups, before_s, strict=True)]
        answered = max(1, summary.requests)
        return Cost(summary, used_s[0] / answered, used_s[1] / answered)


def middle(costs: list[Cost]) -> Cost:
    """Return the median of repeated runs."""
    return Cost(
        median_of([cost.summary for cost in costs]),
        float(np.median([cost.frontend_s for cost in costs])),
        float(np.median([cost.container_s for cost in costs])),
    )


def climb(
    lines: Sequence[Line],
    bench: Bench,
    concurrencies: Sequence[int],
    rounds: int,
    advance: Callable[[str], None],
) -> dict[tuple[str, int], list[Cost]]:
    """Measure every line in closed loop, taking turns; returns all runs.

    A first run of each line is not counted: batch sizes grow in it.
    """
    runs: dict[tuple[str, int], list[Cost]] = {}
    for line in lines:
        advance(f"{line.name}, warm-up")
        bench.measure(line, max(concurrencies))
    for _ in range(rounds):
        for connections in concurrencies:
            for line in lines:
                advance(f"{line.name}, {connections} connections")
                cost = bench.measure(line, connections)
                runs.setdefault((line.name, connections), []).append(cost)
    return runs


def open_loop_rows(
    lines: Sequence[Line],
    bench: Bench,
    runs: dict[tuple[str, int], list[Cost]],
    rounds: int,
    advance: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Measure every line of Clipper's in open loop at a share of what it can do."""
    rows = []
    for line in lines:
        if line.kind.model is None:
            continue
        most = max(middle(c).summary.throughput for (n, _), c in runs.items() if n == line.name)
        rate = OPEN_LOOP_LOAD * most
        advance(f"{line.name}, open loop")
        costs = [bench.measure(line, OPEN_LOOP_CONNECTIONS, rate) for _ in range(rounds)]
        rows.append(_row(line, OPEN_LOOP_CONNECTIONS, rate, costs))
    return rows


def _row(line: Line, connections: int, rate: float, costs: list[Cost]) -> dict[str, Any]:
    cost = middle(costs)
    quartiles = np.percentile([one.summary.throughput for one in costs], [25, 75])
    return {
        "line": line.name,
        "title": line.title,
        "connections": connections,
        "rate": rate,
        **dataclasses.asdict(cost.summary),
        "throughput_q1": float(quartiles[0]),
        "throughput_q3": float(quartiles[1]),
        "frontend_s_per_query": cost.frontend_s,
        "container_s_per_query": cost.container_s,
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=__doc__)
    parser.add_argument(
        "--lines",
        type=_names,
        default=list(LINES),
        help=f"which, with commas between: {', '.join(KINDS)}; with a {PROTOCOL_SUFFIX} behind it, "
        "a line of Clipper's goes through the protocol class",
    )
    parser.add_argument("--concurrency", type=_counts, default=list(CONCURRENCIES))
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of every run")
    parser.add_argument(
        "--duration", type=float, default=1.0, help="seconds of one run; whole ones with wrk"
    )
    parser.add_argument("--no-open-loop", action="store_true", help="closed loops only")
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        kind = KINDS.get(name.removesuffix(PROTOCOL_SUFFIX))
        if kind is None or (name.endswith(PROTOCOL_SUFFIX) and kind.model is None):
            raise argparse.ArgumentTypeError(f"there is no line {name!r}")
    return names


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Run the ladder, print it, and save every figure."""
    options = arguments()
    console = new_console()
    counts, rounds, names = options.concurrency, options.rounds, options.lines
    total = (rounds * len(counts) + 1) * len(names)
    with started(names) as lines, load_generator() as generator, Progress(console=console) as bar:
        task = bar.add_task("measuring", total=total)

        def advance(what: str) -> None:
            bar.update(task, advance=1, description=what)

        bench, begun_s = Bench(generator, options.duration), time.monotonic()
        runs = climb(lines, bench, counts, rounds, advance)
        by_name = {line.name: line for line in lines}
        rows = [_row(by_name[n], c, 0.0, costs) for (n, c), costs in runs.items()]
        if not options.no_open_loop:
            rows += open_loop_rows(lines, bench, runs, rounds, advance)
        elapsed_s = time.monotonic() - begun_s
    found = verdicts({key: middle(costs).summary for key, costs in runs.items()})
    report.show(console, rows, [line.title for line in lines], counts)
    print_verdicts(console, found)
    document = {
        "machine": machine(),
        "rounds": rounds,
        "duration_s": options.duration,
        "elapsed_s": elapsed_s,
        "verdicts": [dataclasses.asdict(verdict) for verdict in found],
        "rows": rows,
    }
    write_json(options.output / "ladder.json", document)
    write_csv(options.output / "ladder.csv", rows)
    console.print(f"{elapsed_s:.0f} s; every figure: {options.output}/ladder.json and .csv")


if __name__ == "__main__":
    main()
