"""E5, the virtual part: what an idle replica gains by waiting for a fuller batch."""

from __future__ import annotations

from benchmarks.simulation.arrivals import gamma, poisson
from benchmarks.simulation.bench import Bench
from benchmarks.simulation.cost import CostModel, steady
from benchmarks.simulation.experiment import Check, Experiment, Row, one
from clipper.batching.aimd import AimdPolicy
from clipper.batching.ports import DispatchSettings

CONTAINERS = {
    "high cost a batch": CostModel(12e-6, 450e-6),
    "low cost a batch": CostModel(25e-6, 50e-6),
}
WAITS_MS = (0, 1, 2, 4, 10)
RATE = 5000.0
BURSTY = 4.0
_SLO_S = 1.0
"""So long that it decides nothing here."""
_RUN_S = 4.0


def run() -> list[Row]:
    """Run both containers at a fixed rate, steady and bursty, with every wait."""
    return [
        _one(container, model, load, wait_ms)
        for container, model in CONTAINERS.items()
        for load in ("steady", "bursty")
        for wait_ms in WAITS_MS
    ]


def _one(container: str, model: CostModel, load: str, wait_ms: int) -> Row:
    bench = Bench(_SLO_S, DispatchSettings(batch_wait_s=wait_ms / 1e3))
    bench.replica(AimdPolicy(start=512), steady(model))
    start_s = bench.clock.now()
    end_s = start_s + _RUN_S
    arrivals_s = (
        poisson(RATE, start_s, end_s, 1)
        if load == "steady"
        else gamma(RATE, BURSTY, start_s, end_s, 1)
    )
    bench.open_loop(arrivals_s, end_s + 1)
    outcome = bench.outcome(end_s)
    latencies_s = bench.record.latencies_s
    return {
        "container": container,
        "load": load,
        "wait_ms": wait_ms,
        "batches_per_second": outcome.batches / _RUN_S,
        "mean_batch": outcome.mean_batch,
        "mean_latency_ms": sum(latencies_s) / len(latencies_s) * 1e3,
        "busy": outcome.busy,
    }


def verdict(rows: list[Row]) -> list[Check]:
    """Compare with the expectations of E5 that do not need real processors."""
    checks = []
    for load in ("steady", "bursty"):
        at = {
            wait_ms: one(rows, container="high cost a batch", load=load, wait_ms=wait_ms)
            for wait_ms in WAITS_MS
        }
        fewer = at[0]["batches_per_second"] / at[2]["batches_per_second"]
        added_ms = at[2]["mean_latency_ms"] - at[0]["mean_latency_ms"]
        busy = at[0]["busy"] / at[2]["busy"]
        checks += [
            Check(
                f"{load}, high cost: {fewer:.1f} × fewer batches at 2 ms, at least 2", fewer >= 2
            ),
            Check(f"{load}, high cost: {busy:.1f} × less computing at 2 ms, at least 2", busy >= 2),
            Check(
                f"{load}, high cost: {added_ms:.2f} ms more latency at 2 ms, at most 3",
                added_ms <= 3,
            ),
        ]
    for wait_ms in (4, 10):
        mean = one(rows, container="low cost a batch", load="steady", wait_ms=wait_ms)
        expected = RATE * wait_ms / 1e3
        checks.append(
            Check(
                f"steady, low cost: mean batch {mean['mean_batch']:.0f} at {wait_ms} ms, within "
                f"15 % of rate · wait = {expected:.0f}",
                abs(mean["mean_batch"] / expected - 1) <= 0.15,
            )
        )
    return checks


EXPERIMENT = Experiment(
    "E5", "Delayed batching", run, verdict, ("wait_ms", "batches_per_second", "container")
)
