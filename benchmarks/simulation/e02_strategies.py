"""E2: no batching, AIMD and quantile regression on the paper's six containers, saturated."""

from __future__ import annotations

import random

from benchmarks.recorder import percentile
from benchmarks.simulation.cost import CostModel, noisy
from benchmarks.simulation.e03_optimum import SLO_S, saturated
from benchmarks.simulation.experiment import Check, Experiment, Row, one
from clipper.batching.aimd import AimdPolicy
from clipper.batching.fixed import FixedPolicy
from clipper.batching.policy import BatchSizePolicy
from clipper.batching.quantile import QuantilePolicy

CONTAINERS = {
    "no-op": CostModel(9.8e-6, 133e-6),
    "logistic regression": CostModel(11.8e-6, 509e-6),
    "linear SVM": CostModel(11.8e-6, 438e-6),
    "linear SVM on Spark": CostModel(24.9e-6, 231e-6),
    "random forest": CostModel(22.2e-6, 7090e-6),
    "kernel SVM": CostModel(4578e-6, 2629e-6),
}
"""Median fits of the paper's figure 3 (algorithms §1.2)."""
_NOISE = 0.01
_BATCHES = 320
_MEASURED = 80


def run() -> list[Row]:
    """Run every strategy on every container; the last batches count."""
    rows = []
    for container, model in CONTAINERS.items():
        for strategy, policy in _strategies().items():
            bench, _ = saturated(policy, noisy(model, _NOISE, random.Random(1)), _BATCHES)
            computed = bench.replicas[0].computed[-_MEASURED:]
            seconds = sorted(seconds for _, _, seconds in computed)
            served = sum(size for _, size, _ in computed)
            rows.append(
                {
                    "container": container,
                    "strategy": strategy,
                    "per_second": served / sum(seconds),
                    "batch_p99_ms": percentile(seconds, 0.99) * 1e3,
                    "mean_batch": served / len(computed),
                    "one_query_share": model.alpha_s / SLO_S,
                }
            )
    return rows


def _strategies() -> dict[str, BatchSizePolicy]:
    return {"none": FixedPolicy(1), "aimd": AimdPolicy(), "quantile": QuantilePolicy()}


def verdict(rows: list[Row]) -> list[Check]:
    """Compare with the expectations of E2."""
    checks = []
    for container in CONTAINERS:
        none, aimd, quantile = (
            one(rows, container=container, strategy=name) for name in ("none", "aimd", "quantile")
        )
        gain = aimd["per_second"] / none["per_second"]
        if container in ("logistic regression", "linear SVM", "random forest"):
            checks.append(Check(f"{container}: AIMD is {gain:.1f} × none, at least 5", gain >= 5))
        if container == "kernel SVM":
            checks.append(
                Check(f"{container}: AIMD is {gain:.2f} × none, 0.9 to 5.5", 0.9 <= gain <= 5.5)
            )
        ratio = aimd["per_second"] / quantile["per_second"]
        checks.append(
            Check(
                f"{container}: AIMD is {ratio:.2f} × quantile regression, within 15 %",
                0.85 <= ratio <= 1.15,
            )
        )
        if aimd["one_query_share"] < 0.05:
            share = aimd["batch_p99_ms"] / (SLO_S * 1e3)
            checks.append(
                Check(f"{container}: P99 batch is {share:.3f} SLO, at most 1.05", share <= 1.05)
            )
    return checks


EXPERIMENT = Experiment(
    "E2", "Batching strategies", run, verdict, ("container", "per_second", "strategy")
)
