"""E6: the objective applied to batches, as the original did, and applied to queries."""

from __future__ import annotations

from benchmarks.simulation.arrivals import poisson
from benchmarks.simulation.bench import NEVER_S, Bench, Outcome
from benchmarks.simulation.cost import CostModel, steady
from benchmarks.simulation.experiment import Check, Experiment, Row, of, one
from benchmarks.simulation.reference import OriginalAimd
from clipper.batching.aimd import AimdPolicy
from clipper.batching.ports import DispatchSettings

SLO_S = 0.020
MODELS = {
    "low cost a batch": CostModel(0.0002, 0.0005),
    "medium": CostModel(0.00005, 0.002),
    "high cost a batch": CostModel(0.00005, 0.004),
}
LOAD = 0.95
_QUERIES = 60_000


def run() -> list[Row]:
    """Run the original at 0.95 of its capacity, and ours at 0.95 of ours and of the original's."""
    rows = []
    for name, model in MODELS.items():
        theirs = LOAD * model.achievable(SLO_S, 1)
        ours = LOAD * model.achievable(SLO_S, 2)
        rows.append(_row(name, "original", theirs, _original(model, theirs)))
        rows.append(_row(name, "ours", ours, _ours(model, ours)))
        rows.append(_row(name, "ours, at the original's load", theirs, _ours(model, theirs)))
    return rows


def _row(name: str, rule: str, rate: float, outcome: Outcome) -> Row:
    return {
        "model": name,
        "rule": rule,
        "rate": rate,
        "p50_ms": outcome.p50_s * 1e3,
        "p99_ms": outcome.p99_s * 1e3,
        "p99_slo": outcome.p99_s / SLO_S,
        "default_share": outcome.default_share,
        "goodput": outcome.goodput,
    }


def _original(model: CostModel, rate: float) -> Outcome:
    bench = Bench(SLO_S, DispatchSettings(objective_share=1.0), fifo=True)
    bench.replica(OriginalAimd(), steady(model), depth=1)
    return _run(bench, rate, NEVER_S)


def _ours(model: CostModel, rate: float) -> Outcome:
    bench = Bench(SLO_S)
    bench.replica(AimdPolicy(), steady(model))
    return _run(bench, rate, SLO_S)


def _run(bench: Bench, rate: float, deadline_s: float) -> Outcome:
    """Measure after the ramp, which for the original takes hundreds of batches."""
    since_s = bench.clock.now() + 3.0 + 0.2 * _QUERIES / rate
    end_s = since_s + _QUERIES / rate
    bench.record.since_s = since_s
    bench.open_loop(poisson(rate, bench.clock.now(), end_s, 1), end_s + 1, lambda: deadline_s)
    return bench.outcome(end_s)


def verdict(rows: list[Row]) -> list[Check]:
    """Compare with the expectations of E6."""
    checks = []
    worst = max(row["p99_slo"] for row in of(rows, rule="original"))
    checks.append(
        Check(f"the original's P99 of queries reaches {worst:.2f} SLO, at least 1.5", worst >= 1.5)
    )
    for name in MODELS:
        original = one(rows, model=name, rule="original")
        ours = one(rows, model=name, rule="ours")
        share = ours["goodput"] / original["rate"]
        checks.append(
            Check(
                f"{name}: our P99 is {ours['p99_slo']:.2f} SLO, at most 1.05, with "
                f"{ours['default_share']:.2%} defaults, at most 1 %",
                ours["p99_slo"] <= 1.05 and ours["default_share"] <= 0.01,
            )
        )
        checks.append(
            Check(
                f"{name}: our goodput is {share:.2f} of the original's throughput, at least 0.6",
                share >= 0.6,
            )
        )
    return checks


EXPERIMENT = Experiment(
    "E6", "The objective of batches and of queries", run, verdict, ("model", "p99_slo", "rule")
)
