"""E16: earliest deadline first with early drop against first in first out with lazy drop."""

from __future__ import annotations

import random

from benchmarks.simulation.arrivals import poisson
from benchmarks.simulation.bench import Bench
from benchmarks.simulation.cost import CostModel, steady
from benchmarks.simulation.experiment import Check, Experiment, Row, of
from clipper.batching.aimd import AimdPolicy

LOADS = (0.6, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6)
MIXES: dict[str, tuple[float, ...]] = {"one SLO": (0.020,), "mixed SLOs": (0.020, 0.050, 0.100)}
MODELS = {
    "low cost a batch": CostModel(0.0002, 0.0005),
    "high cost a batch": CostModel(0.00005, 0.004),
}
_RUN_S = 6.0
_WARM_S = 1.5
_LEAST = 0.01
"""Goodput below this share of capacity counts as this much: lazy drop comes down to nothing."""


def run() -> list[Row]:
    """Run both kinds at every load. Capacity is what two batches within the tightest SLO allow."""
    return [
        _one(model, mix, drop, load)
        for model in MODELS
        for mix in MIXES
        for drop in ("early", "lazy")
        for load in LOADS
    ]


def _one(model_name: str, mix: str, drop: str, load: float) -> Row:
    model, slos_s = MODELS[model_name], MIXES[mix]
    bench = Bench(min(slos_s), fifo=drop == "lazy")
    # The same controller for both: what differs is the order and the moment of giving up.
    bench.replica(AimdPolicy(), steady(model), depth=1 if drop == "lazy" else 2)
    capacity = model.achievable(min(slos_s), 2)
    since_s = bench.clock.now() + _WARM_S
    end_s = since_s + _RUN_S
    bench.record.since_s = since_s
    choose = random.Random(2)
    bench.open_loop(
        poisson(load * capacity, bench.clock.now(), end_s, 1),
        end_s + 1,
        lambda: choose.choice(slos_s),
    )
    outcome = bench.outcome(end_s)
    return {
        "model": model_name,
        "slos": mix,
        "drop": drop,
        "load": load,
        "goodput": outcome.goodput / capacity,
        "default_share": outcome.default_share,
        "p99_ms": outcome.p99_s * 1e3,
        "mean_batch": outcome.mean_batch,
        "line": f"{drop}, {mix}, {model_name}",
    }


def verdict(rows: list[Row]) -> list[Check]:
    """Compare with the expectations of E16."""
    checks = []
    gains = []
    for model in MODELS:
        for mix in MIXES:
            early = of(rows, model=model, slos=mix, drop="early")
            lazy = {
                row["load"]: row["goodput"] for row in of(rows, model=model, slos=mix, drop="lazy")
            }
            peak = max(row["goodput"] for row in early)
            least = min(row["goodput"] for row in early if row["load"] >= _peak_load(early))
            checks.append(
                Check(
                    f"{model}, {mix}: past its peak goodput stays at {least / peak:.3f} of it, at "
                    "least 0.9",
                    least >= 0.9 * peak,
                )
            )
            ratios = [row["goodput"] / max(lazy[row["load"]], _LEAST) for row in early]
            gains += ratios
            checks.append(
                Check(
                    f"{model}, {mix}: early drop has {min(ratios):.3f} to {max(ratios):.2f} × the "
                    "goodput of lazy, nowhere less (1 % is noise)",
                    min(ratios) >= 0.99,
                )
            )
    checks.append(
        Check(f"somewhere early drop gains {max(gains) - 1:.0%}, at least 10 %", max(gains) >= 1.1)
    )
    return checks


def _peak_load(rows: list[Row]) -> float:
    return max(rows, key=lambda row: row["goodput"])["load"]


EXPERIMENT = Experiment("E16", "Early drop at overload", run, verdict, ("load", "goodput", "line"))
