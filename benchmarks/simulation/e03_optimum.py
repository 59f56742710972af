"""E3: does AIMD find the largest batch that keeps the paper's objective, batch time ≤ SLO?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from benchmarks.simulation.bench import Bench, PolicyLog
from benchmarks.simulation.cost import CostModel, noisy, steady
from benchmarks.simulation.experiment import Check, Experiment, Row, of, one
from benchmarks.simulation.reference import OriginalAimd
from clipper.batching.aimd import AimdPolicy
from clipper.batching.policy import BatchSizePolicy
from clipper.batching.ports import DispatchSettings

ALPHAS_MS = (0.05, 0.2, 1.0)
BETAS_MS = (0.5, 2.0, 8.0)
SLO_S = 0.020
STEP = 2
_STEADY = 200
_COMPARED = CostModel(0.00005, 0.008)
"""Where batching matters most."""
_COMPARED_S = 30.0


def cost_models() -> Iterator[CostModel]:
    """Yield the grid's models."""
    for alpha_ms in ALPHAS_MS:
        for beta_ms in BETAS_MS:
            yield CostModel(alpha_ms / 1e3, beta_ms / 1e3)


def saturated(
    policy: BatchSizePolicy,
    seconds: Callable[[int, float], float],
    batches: int,
    until_s: float = 1e4,
    slo_s: float = SLO_S,
) -> tuple[Bench, PolicyLog]:
    """Run a queue that is always full, with the batch time as the objective."""
    bench = Bench(slo_s, DispatchSettings(objective_share=1.0))
    log = bench.replica(policy, seconds)
    bench.saturate(until_s, lambda: len(log.caps) >= batches)
    return bench, log


def run() -> list[Row]:
    """Run the grid with our controller, and one model with variants of the original's."""
    rows = []
    for model in cost_models():
        best = model.largest(SLO_S)
        near = max(0.1 * best, STEP)
        batches = int(0.6 * best) + 1 + _STEADY
        _, log = saturated(AimdPolicy(), steady(model), batches)
        found = next((n for n, cap in enumerate(log.caps) if cap >= best - near), batches)
        caps = log.caps[-_STEADY:]
        rows.append(
            {
                "kind": "grid",
                "alpha_ms": model.alpha_s * 1e3,
                "beta_ms": model.beta_s * 1e3,
                "optimum": best,
                "mean_cap": sum(caps) / len(caps),
                "least_cap": min(caps),
                "largest_cap": max(caps),
                "batches": found + 1,
                "share": sum(caps) / len(caps) / best,
            }
        )
    rows += [_variant(increase, backoff) for increase in (1, 2, 8) for backoff in (0.9, 0.5)]
    return rows


def _variant(increase: int, backoff: float) -> Row:
    """Run the original's rule without its dead band: the saw-tooth shows what its figures cost."""
    best = _COMPARED.largest(SLO_S)
    seconds = noisy(_COMPARED, 0.02, random.Random(1))
    bench, log = saturated(
        OriginalAimd(increase, backoff, dead_band=0.0), seconds, 10**9, until_s=_COMPARED_S
    )
    served = sum(size for _, size, _ in bench.replicas[0].computed)
    caps = log.caps[len(log.caps) // 2 :]
    return {
        "kind": f"increase {increase}, back-off {backoff}",
        "alpha_ms": _COMPARED.alpha_s * 1e3,
        "beta_ms": _COMPARED.beta_s * 1e3,
        "optimum": best,
        "mean_cap": sum(caps) / len(caps),
        "least_cap": min(caps),
        "largest_cap": max(caps),
        "batches": next(n for n, cap in enumerate(log.caps) if cap >= 0.9 * best) + 1,
        "share": served / _COMPARED_S / (best / _COMPARED.seconds(best)),
    }


def verdict(rows: list[Row]) -> list[Check]:
    """Compare with the expectations of E3."""
    checks = []
    for row in of(rows, kind="grid"):
        best, near = row["optimum"], max(0.1 * row["optimum"], STEP)
        cell = f"{row['alpha_ms']:g} ms a query, {row['beta_ms']:g} ms a batch"
        checks.append(
            Check(
                f"{cell}: mean cap {row['mean_cap']:.1f} of {best}, within {near:.1f}",
                abs(row["mean_cap"] - best) <= near,
            )
        )
        checks.append(
            Check(
                f"{cell}: found after {row['batches']} batches, at most {0.6 * best:.0f}",
                row["batches"] <= max(0.6 * best, STEP),
            )
        )
    gentle = one(rows, kind="increase 2, back-off 0.9")["share"]
    harsh = one(rows, kind="increase 2, back-off 0.5")["share"]
    loss = 1 - harsh / gentle
    checks.append(Check(f"halving instead of 10 % loses {loss:.1%}, at least 15 %", loss >= 0.15))
    return checks


EXPERIMENT = Experiment(
    "E3", "AIMD finds the optimum", run, verdict, ("optimum", "mean_cap", "kind")
)
