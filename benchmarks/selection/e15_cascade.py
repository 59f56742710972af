"""E15: a cascade of a fast and a slow model (IDK cascades, UAI 2018), and its latency when served.

The fast model sees a third of the pixels; the slow one costs five or ten times as much. The
product's tuner seeks thresholds on one half of the images; the policy is judged on the other. Then
both models are served in containers of their own, behind one application.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.publishing import Result, panels
from benchmarks.selection.cascades import (
    Ballots,
    Options,
    best_gate,
    best_on_grid,
    examples_of,
    run_cascade,
)
from benchmarks.selection.experts import arms, ballots, digits, five_models, probability_votes
from benchmarks.selection.served_cascade import Served, serve_cascade
from benchmarks.verdict import Verdict, at_least, at_most
from clipper.selection.cascade_tuning import SIGNALS, Target, tune

FAST, SLOW = "logistic-third", "rbf-svm"
ORDER = (FAST, SLOW)
SPLITS = 10
SLOW_COSTS = (5.0, 10.0)
PRICES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Of a query that asks the slow model; a wrong answer costs 1."""
_ARMS = arms(ORDER)
_WANTED = Target(0.99)


def run() -> Result:
    """Tune, judge, and serve."""
    labelled = _labelled()
    rows: list[dict[str, Any]] = []
    verdicts: list[Verdict] = []
    for signal in SIGNALS:
        rows += _tuned(signal, labelled)
    for signal in SIGNALS:
        verdicts += _judge_signal(signal, rows)
    priced = _priced(labelled)
    ratios = {price: gate / grid for price, gate, grid in priced}
    verdicts.append(
        at_most(
            "gate fitted to the objective / best threshold on a grid, where it does best",
            min(ratios.values()),
            1.0,
            "loss plus price; "
            + ", ".join(f"price {price:g}: {ratio:.2f}" for price, ratio in ratios.items()),
        )
    )
    options = tune(examples_of(_ARMS, labelled), ORDER, {SLOW: SLOW_COSTS[0]}, _WANTED).options
    served = serve_cascade(options, SLOW_COSTS[0])
    verdicts += _judge_served(served)
    figure, (left, middle, right) = panels(3)
    for signal in SIGNALS:
        mine = [row for row in rows if row["signal"] == signal and row["slow_cost"] == 5.0]
        left.plot([row["relative_cost"] for row in mine],
                  [row["relative_accuracy"] for row in mine], "o", label=signal)  # fmt: skip
    left.axhline(0.98, color="0.5", linewidth=1)
    left.axvline(0.7, color="0.5", linewidth=1)
    left.set(xlabel="cost / slow model's", ylabel="accuracy / slow model's")
    left.legend(fontsize=7)
    middle.plot(PRICES, [grid for _, _, grid in priced], "o-", label="threshold on a grid")
    middle.plot(PRICES, [gate for _, gate, _ in priced], "o-", label="gate fitted to it")
    middle.set(xlabel="price of asking the slow model", ylabel="loss plus price", xscale="log")
    middle.legend(fontsize=7)
    for one in served:
        right.step(sorted(1e3 * s for s in one.latencies_s),
                   [(n + 1) / len(one.latencies_s) for n in range(len(one.latencies_s))],
                   label=f"{one.name}: mean {1e3 * one.mean_s:.1f} ms")  # fmt: skip
    right.set(xlabel="latency, ms", ylabel="share of queries", xscale="log")
    right.legend(fontsize=7)
    rows += [_served_row(one) for one in served]
    notes = [
        f"tuned and judged on {SPLITS} pairs of halves; wanted: 99 % of the slow model's accuracy, "
        "one standard error to spare; the bar on the other half is 98 %",
        "served: both models compute their real answers, then sleep so that the slow one takes "
        f"{SLOW_COSTS[0]:g} times as long as the fast one",
    ]
    title = "A cascade of two models"
    return Result("e15", title, rows, verdicts, figure, notes)


def _labelled() -> list[tuple[Any, str]]:
    split = digits()
    fast, slow = five_models()[-2:]
    votes = [probability_votes(model.predict_proba(split.inputs)) for model in (fast, slow)]
    return list(zip(ballots(_ARMS, votes), map(str, split.labels.tolist()), strict=True))


def _halves(labelled: Ballots, seed: int) -> tuple[Ballots, Ballots]:
    """Return the halves that the tuner makes with this seed."""
    shuffled = list(labelled)
    random.Random(seed).shuffle(shuffled)
    half = len(shuffled) // 2
    return shuffled[:half], shuffled[half:]


def _tuned(signal: Any, labelled: Ballots) -> list[dict[str, Any]]:
    rows = []
    for slow_cost in SLOW_COSTS:
        for seed in range(SPLITS):
            found = tune(
                examples_of(_ARMS, labelled), ORDER, {SLOW: slow_cost}, _WANTED, [signal], seed
            )
            outcome = run_cascade(found.options, _ARMS, _halves(labelled, seed)[1])
            rows.append(
                {
                    "signal": signal,
                    "slow_cost": slow_cost,
                    "split": seed,
                    "unsure": outcome.unsure,
                    "accuracy": outcome.accuracy,
                    "relative_accuracy": outcome.accuracy / found.models[SLOW],
                    "relative_cost": (1.0 + slow_cost * outcome.unsure) / slow_cost,
                    "foretold_accuracy": found.judged_on.accuracy,
                    "mean_ms": None,
                }
            )
    return rows


def _served_row(one: Served) -> dict[str, Any]:
    blank = dict.fromkeys(("slow_cost", "split", "unsure", "relative_accuracy", "relative_cost"))
    return {"signal": f"served: {one.name}", **blank, "accuracy": one.accuracy,
            "foretold_accuracy": None, "mean_ms": 1e3 * one.mean_s}  # fmt: skip


def _judge_signal(signal: str, rows: Sequence[dict[str, Any]]) -> list[Verdict]:
    verdicts = []
    for slow_cost in SLOW_COSTS:
        mine = [row for row in rows if (row["signal"], row["slow_cost"]) == (signal, slow_cost)]
        accurate = statistics.fmean(row["relative_accuracy"] for row in mine)
        saved = 1.0 - statistics.fmean(row["relative_cost"] for row in mine)
        worst = min(row["relative_accuracy"] for row in mine)
        name = f"{signal}, slow model {slow_cost:g} times dearer"
        verdicts += [
            at_least(f"{name}: cost saved", saved, 0.3),
            at_least(f"{name}: accuracy / slow model's", accurate, 0.98, f"worst: {worst:.3f}"),
        ]
    mine = [row for row in rows if row["signal"] == signal]
    apart = max(abs(row["accuracy"] - row["foretold_accuracy"]) for row in mine)
    verdicts.append(at_most(f"{signal}: tuner's accuracy against the policy's", apart, 1e-9))
    return verdicts


def _priced(labelled: Ballots) -> list[tuple[float, float, float]]:
    """Return for each price the objective of the fitted gate and of the best threshold."""
    found = []
    for price in PRICES:
        gates, grids = [], []
        for seed in range(SPLITS):
            sought_on, judged_on = _halves(labelled, seed)
            examples = examples_of(_ARMS, sought_on)
            for objectives, seek in ((gates, best_gate), (grids, best_on_grid)):
                options: Options = {"order": list(ORDER), **seek(FAST, examples, price)}
                objectives.append(run_cascade(options, _ARMS, judged_on).objective(price))
        found.append((price, statistics.fmean(gates), statistics.fmean(grids)))
    return found


def _judge_served(served: Sequence[Served]) -> list[Verdict]:
    cascade, slow = served[-1], served[1]
    return [
        at_most(
            "served: mean latency of the cascade / slow model's", cascade.mean_s / slow.mean_s, 0.7
        ),
        at_least(
            "served: accuracy of the cascade / slow model's", cascade.accuracy / slow.accuracy, 0.98
        ),
    ]
