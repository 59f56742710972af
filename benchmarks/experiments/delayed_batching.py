"""E5: what waiting for a fuller batch is worth, as the paper's figure 5 has it.

Containers burn processor time for each batch: one with a high fixed cost, one with a low one. At a
fixed rate, steady and in bursts, and in closed loop for the highest rate, while frontend and
container share the processors. The paper found 3.35 times the throughput with a wait of 2 ms and
the high fixed cost; theory predicts that only batches and processor time are saved.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.cluster import Cluster, cluster
from benchmarks.processes import LoadGenerator, cpu_seconds, load_generator
from benchmarks.publishing import Result, panels
from benchmarks.sleepers import burning
from benchmarks.verdict import Verdict, at_least, at_most, between

COSTS_S = {"high": (450e-6, 12e-6), "low": (50e-6, 25e-6)}
"""Fixed cost of a batch and cost of each input, by container."""
WAITS_MS = (0.0, 2.0, 5.0, 10.0)
JUDGED_MS = 2.0
RATE = 2_000.0
BURSTY_CV = 4.0
SLO_S = 0.5
ROUNDS = 3
_DURATION_S = 1.0
_CONNECTIONS = 256


def run() -> Result:
    """Measure both containers with every wait, taking turns."""
    names = {(cost, wait_ms): f"{cost}-{wait_ms:g}" for cost in COSTS_S for wait_ms in WAITS_MS}
    with cluster() as running, load_generator() as generator:
        for (cost, wait_ms), name in names.items():
            running.deploy(name, burning(*COSTS_S[cost]), batch_wait_ms=wait_ms)
            running.register(name, name, SLO_S)
        turns: dict[tuple[str, float], list[dict[str, float]]] = {key: [] for key in names}
        for number in range(ROUNDS + 1):
            for key, name in names.items():
                found = _turn(running, generator, name, number)
                if number:  # batches grow in the first
                    turns[key].append(found)
    rows = [
        {"cost": cost, "wait_ms": wait_ms}
        | {figure: statistics.median(turn[figure] for turn in found) for figure in found[0]}
        for (cost, wait_ms), found in turns.items()
    ]
    figure, (left, middle, right) = panels(3)
    for cost in COSTS_S:
        found = [row for row in rows if row["cost"] == cost]
        waits = [row["wait_ms"] for row in found]
        left.plot(waits, [row["max_rate"] for row in found], "o-", label=f"{cost} fixed cost")
        middle.plot(waits, [row["mean_batch"] for row in found], "o-", label=f"{cost} fixed cost")
        right.plot(waits, [row["mean_s"] * 1e3 for row in found], "o-", label=f"{cost} fixed cost")
    left.set(xlabel="wait, ms", ylabel="highest rate, answers/s", ylim=(0, None))
    middle.set(xlabel="wait, ms", ylabel=f"mean batch at {RATE:.0f}/s", ylim=(0, None))
    right.set(xlabel="wait, ms", ylabel=f"mean latency at {RATE:.0f}/s, ms", ylim=(0, None))
    left.legend()
    notes = [
        f"batches, CPU and latency at {RATE:.0f}/s, Poisson; the highest rate in closed loop",
        f"medians of {ROUNDS} turns",
    ]
    return Result("e05", "Delayed batching", rows, _verdicts(rows), figure, notes)


def _turn(running: Cluster, generator: LoadGenerator, name: str, number: int) -> dict[str, float]:
    """Return the figures of one model: steady, in bursts, and at the highest rate."""
    found = {}
    pids = running.container_pids(name)
    options = {"connections": _CONNECTIONS, "slo_s": SLO_S}
    for prefix, cv in (("", 1.0), ("bursty_", BURSTY_CV)):
        before, used_s = _counts(running, name), cpu_seconds(pids)
        load = running.load(name, _DURATION_S, rate=RATE, cv=cv, seed=number, **options)
        summary = generator.run(load)
        used_s = cpu_seconds(pids) - used_s
        batches, answers = (
            max(1.0, after - one) for after, one in zip(_counts(running, name), before, strict=True)
        )
        found |= {
            prefix + "mean_batch": answers / batches,
            prefix + "batches_per_s": batches / _DURATION_S,
            prefix + "cpu_s_per_query": used_s / answers,
            prefix + "mean_s": summary.mean_s,
            prefix + "p99_s": summary.p99_s,
            prefix + "defaults": float(summary.defaults),
        }
    found["max_rate"] = generator.run(running.load(name, 1.0, **options)).goodput
    return found


def _counts(running: Cluster, model: str) -> tuple[float, float]:
    """Return how many batches and queries the model has answered."""
    batches = running.metric("clipper_batch_size_count", model=model)
    return batches, running.metric("clipper_batch_size_sum", model=model)


def _verdicts(rows: list[dict[str, Any]]) -> list[Verdict]:
    by_key = {(row["cost"], row["wait_ms"]): row for row in rows}

    def saved(cost: str, figure: str) -> float:
        return float(by_key[cost, 0.0][figure] / by_key[cost, JUDGED_MS][figure])

    added_ms = 1e3 * (by_key["high", JUDGED_MS]["mean_s"] - by_key["high", 0.0]["mean_s"])
    judged = by_key["high", JUDGED_MS]
    expected = RATE * JUDGED_MS / 1e3
    at = f"wait of {JUDGED_MS:g} ms against none"
    return [
        at_least(f"high fixed cost, {at}: batches/s fall by", saved("high", "batches_per_s"), 2),
        at_least(
            f"high fixed cost, {at}: CPU per query falls by", saved("high", "cpu_s_per_query"), 2
        ),
        at_least(f"high fixed cost, {at}: highest rate", 1 / saved("high", "max_rate"), 1.2),
        between(f"low fixed cost, {at}: highest rate", 1 / saved("low", "max_rate"), 0.9, 1.1),
        at_most("high fixed cost: latency added, ms", added_ms, JUDGED_MS + 1),
        between(
            "high fixed cost: mean batch / (rate x wait)", judged["mean_batch"] / expected, 0.5, 2
        ),
    ]
