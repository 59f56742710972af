"""E16, in real time: goodput while more is asked for than the model can do.

A container that sleeps for each batch, so that the model and not a processor is the limit; load
from 60 to 160 % of what was measured as its capacity, Poisson, two applications of different
objectives.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.cluster import Cluster, cluster
from benchmarks.processes import LoadGenerator, load_generator
from benchmarks.publishing import Result, panels
from benchmarks.recorder import Summary
from benchmarks.verdict import at_least

FIXED_S = 0.004
ITEM_S = 0.0004
SLOS_S = {"tight": 0.05, "loose": 0.2}
LOADS = (0.6, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6)
REPEATS = 2
DURATION_S = 2.5
KEPT = 0.9


def sleeper(inputs: Any) -> list[float]:
    """Take a fixed time for each batch, and more for each input."""
    time.sleep(FIXED_S + ITEM_S * len(inputs))
    return [float(x[0]) for x in inputs]


def run() -> Result:
    """Measure, and judge whether goodput holds under overload."""
    with cluster() as running, load_generator() as first, load_generator() as second:
        running.deploy("slow", sleeper)
        for app, slo_s in SLOS_S.items():
            running.register(app, "slow", slo_s)
        capacity = _capacity(running, first)
        rows = []
        for repeat in range(REPEATS):
            for load in LOADS:
                pair = _both(running, (first, second), load * capacity, repeat)
                rows.append(_row(load, capacity, pair))
    goodputs = {
        load: statistics.median(row["goodput"] for row in rows if row["load"] == load)
        for load in LOADS
    }
    peak = max(goodputs.values())
    over = [goodputs[load] for load in LOADS if load > 1]
    verdicts = [at_least("least goodput above capacity / peak goodput", min(over) / peak, KEPT)]
    figure, (left, right) = panels(2)
    left.plot([100 * load for load in LOADS], [goodputs[load] / capacity for load in LOADS], "o-")
    left.axhline(KEPT * peak / capacity, color="red", linestyle="--", label="90 % of the peak")
    left.set(xlabel="load, % of capacity", ylabel="goodput / capacity", ylim=(0, None))
    left.legend()
    for app in SLOS_S:
        shares = [
            statistics.median(row[f"{app}_in_time"] for row in rows if row["load"] == load)
            for load in LOADS
        ]
        right.plot([100 * load for load in LOADS], shares, "o-", label=f"{app} objective")
    right.set(xlabel="load, % of capacity", ylabel="share answered in time", ylim=(0, 1.05))
    right.legend()
    note = f"capacity: {capacity:.0f}/s, measured in closed loop with 256 connections"
    return Result("e16", "Goodput under overload", rows, verdicts, figure, [note])


def _capacity(running: Cluster, generator: LoadGenerator) -> float:
    """Return goodput in closed loop, after a run in which batches grow."""
    runs = [
        generator.run(running.load("loose", 2.0, connections=256, slo_s=SLOS_S["loose"]))
        for _ in range(2)
    ]
    return runs[-1].goodput


def _both(
    running: Cluster, generators: tuple[LoadGenerator, LoadGenerator], rate: float, seed: int
) -> dict[str, Summary]:
    """Load both applications at once, each with half of the rate."""
    specs = {
        app: running.load(
            app, DURATION_S, connections=400, rate=rate / 2, seed=10 * seed + n, slo_s=slo_s
        )
        for n, (app, slo_s) in enumerate(SLOS_S.items())
    }
    with ThreadPoolExecutor(2) as pool:
        summaries = pool.map(LoadGenerator.run, generators, specs.values())
        return dict(zip(specs, summaries, strict=True))


def _row(load: float, capacity: float, pair: dict[str, Summary]) -> dict[str, Any]:
    row: dict[str, Any] = {"load": load, "rate": load * capacity}
    row["goodput"] = sum(summary.goodput for summary in pair.values())
    for app, summary in pair.items():
        row[f"{app}_in_time"] = summary.goodput / max(1e-9, summary.throughput)
        row[f"{app}_defaults"] = summary.defaults
        row[f"{app}_errors"] = summary.errors
        row[f"{app}_p99_s"] = summary.p99_s
    return row
