"""E12: what the default action is worth, by the confidence below which it is taken (NSDI'17 §5.2).

A wrong answer costs 10, the default output 1, a right answer nothing. An application that is
registered with ``min_confidence`` and a calibration decides like this.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from benchmarks.publishing import Result, panels
from benchmarks.selection.ensembles import Judged, calibrator, halves, judge, learned
from benchmarks.verdict import Verdict, at_most
from clipper.selection.calibration import Calibration, Calibrator

COST_OF_WRONG, COST_OF_DEFAULT = 10.0, 1.0
_THRESHOLDS = [*np.linspace(0.0, 1.0, 101).tolist(), 1.001]
"""Above 1 every answer becomes the default."""
_COMBINES = ("majority", "weighted")


def run() -> Result:
    """Sweep the threshold on all halves."""
    rows, verdicts = [], []
    figure, axes = panels(len(_COMBINES))
    for combine, axis in zip(_COMBINES, axes, strict=True):
        on_validation, on_test = [], []
        for feedback, examples in halves():
            learner = learned(combine, feedback)
            found = calibrator(Calibration.ISOTONIC, learner, feedback)
            on_validation.append(_costs(judge(learner, feedback), found))
            on_test.append(_costs(judge(learner, examples), found))
        curve = [statistics.fmean(column) for column in zip(*on_test, strict=True)]
        chosen = [
            test[_cheapest(validation)]
            for validation, test in zip(on_validation, on_test, strict=True)
        ]
        verdicts += _judge(combine, curve, statistics.fmean(chosen))
        rows += [
            {"ensemble": combine, "threshold": threshold, "cost": cost}
            for threshold, cost in zip(_THRESHOLDS, curve, strict=True)
        ]
        axis.plot(_THRESHOLDS, curve)
        axis.axvline(1 - COST_OF_DEFAULT / COST_OF_WRONG, linestyle=":", color="0.5")
        label = "threshold chosen on the feedback half"
        axis.axhline(statistics.fmean(chosen), linestyle="--", color="tab:green", label=label)
        axis.set(xlabel="least confidence", ylabel=f"cost per query, {combine}", ylim=(0, 1.05))
        axis.legend(fontsize=7)
    notes = [
        "dotted: 0.9, where a calibrated confidence makes both costs equal",
        "the weighted ensemble's weights and all confidences come from the feedback half, on which "
        "the threshold is chosen as well",
    ]
    title = "Cost of answers and defaults"
    return Result("e12", title, rows, verdicts, figure, notes)


def _costs(judged: Sequence[Judged], found: Calibrator) -> list[float]:
    """Return the mean cost of a query at each threshold."""
    confidences = np.array([found(one.confidence) for one in judged])
    costs = np.array([0.0 if one.right else COST_OF_WRONG for one in judged])
    return [
        float(np.where(confidences < threshold, COST_OF_DEFAULT, costs).mean())
        for threshold in _THRESHOLDS
    ]


def _cheapest(costs: Sequence[float]) -> int:
    """Return the middle of the thresholds that cost least."""
    least = [at for at, cost in enumerate(costs) if cost == min(costs)]
    return least[len(least) // 2]


def _judge(combine: str, curve: Sequence[float], chosen: float) -> list[Verdict]:
    never, always, optimum = curve[0], curve[-1], min(curve)
    return [
        Verdict(
            f"{combine}: least cost / cost of never taking the default",
            optimum / never,
            "< 1",
            optimum < never,
        ),
        Verdict(
            f"{combine}: least cost / cost of always taking it",
            optimum / always,
            "< 1",
            optimum < always,
        ),
        at_most(
            f"{combine}: cost at the threshold chosen on feedback / least cost on other queries",
            chosen / optimum,
            1.05,
            f"{chosen:.4f} / {optimum:.4f}",
        ),
    ]
