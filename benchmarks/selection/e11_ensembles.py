"""E11: agreement as confidence, learned weights, and calibration (NSDI'17, figure 7).

Five models answer; the ensemble takes the majority's label, or that with the most learned weight.
Figures are means over 20 random halves; the weights and calibrators come from the other half.
"""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from typing import Any

from benchmarks.publishing import Result, panels
from benchmarks.selection.ensembles import (
    ARMS,
    Judged,
    books,
    calibrator,
    halves,
    judge,
    learned,
)
from benchmarks.selection.experts import digits, five_models
from benchmarks.verdict import Verdict, at_most
from clipper.selection.calibration import (
    Calibration,
    Calibrator,
    ReliabilityBin,
    expected_calibration_error,
    reliability,
)

_COMBINES = ("majority", "weighted")
_AGREEMENTS = range(2, len(ARMS) + 1)


def run() -> Result:
    """Judge both ensembles on all halves."""
    errors: dict[str, list[float]] = {combine: [] for combine in _COMBINES}
    best_single: list[float] = []
    eces: dict[tuple[str, Calibration], list[float]] = {}
    judged_by_majority: list[Judged] = []
    diagrams: dict[Calibration, list[ReliabilityBin]] = {}
    for feedback, examples in halves():
        singles = [
            statistics.fmean(ballot[arm].label != label for ballot, label in examples)
            for arm in ARMS
        ]
        best_single.append(singles[-1])  # the best on all images, as an operator would know
        for combine in _COMBINES:
            learner = learned(combine, feedback)
            judged = judge(learner, examples)
            errors[combine].append(_error(judged))
            if combine == "majority":
                judged_by_majority += judged
            for kind in Calibration:
                found = calibrator(kind, learner, feedback)
                ece = expected_calibration_error(books(judged), found)
                assert ece is not None
                eces.setdefault((combine, kind), []).append(ece)
                if combine == "majority" and kind not in diagrams:
                    diagrams[kind] = _diagram(judged, found)
    rows = _rows(judged_by_majority, errors, best_single, eces)
    verdicts = _judge(judged_by_majority, errors, best_single, eces)
    figure, (left, right) = panels(2)
    table = _by_agreement(judged_by_majority)
    left.bar(list(table), [error for _, error in table.values()], color="tab:blue")
    for agreeing, (share, error) in table.items():
        left.annotate(f"{share:.0%} of queries", (agreeing, error), ha="center", fontsize=7)
    left.set(xlabel="models that agree with the answer", ylabel="error of these answers")
    right.plot((0, 1), (0, 1), ":", color="0.5")
    for kind, bins in diagrams.items():
        label = f"{kind}: ECE {statistics.fmean(eces['majority', kind]):.3f}"
        right.plot([b.confidence for b in bins], [b.accuracy for b in bins], "o-", label=label)
    right.set(xlabel="confidence", ylabel="share of right answers")
    right.legend(fontsize=7)
    notes = ["reliability diagram: the majority ensemble on the first half; ECE: mean of all"]
    title = "Agreement, learned weights and calibration"
    return Result("e11", title, rows, verdicts, figure, notes)


def _error(judged: list[Judged]) -> float:
    return statistics.fmean(not one.right for one in judged)


def _diagram(judged: list[Judged], found: Calibrator) -> list[ReliabilityBin]:
    return reliability(books(judged), found)


def _by_agreement(judged: list[Judged]) -> dict[int, tuple[float, float]]:
    """Return by number of agreeing models: share of the queries, and their error."""
    counts = Counter(one.agreeing for one in judged)
    wrong = Counter(one.agreeing for one in judged if not one.right)
    return {
        agreeing: (counts[agreeing] / len(judged), wrong[agreeing] / counts[agreeing])
        for agreeing in sorted(counts)
    }


def _at_least_agreeing(judged: list[Judged], least: int) -> tuple[float, float]:
    some = [one for one in judged if one.agreeing >= least]
    return len(some) / len(judged), _error(some)


def _rows(
    judged: list[Judged],
    errors: dict[str, list[float]],
    best_single: list[float],
    eces: dict[tuple[str, Calibration], list[float]],
) -> list[dict[str, Any]]:
    def row(figure: str, value: float, share: float | None = None) -> dict[str, Any]:
        return {"figure": figure, "share_of_queries": share, "value": value}

    rows = [row("error of the best model", statistics.fmean(best_single))]
    rows += [row(f"error, {combine}", statistics.fmean(errors[combine])) for combine in _COMBINES]
    for least in _AGREEMENTS:
        share, error = _at_least_agreeing(judged, least)
        rows.append(row(f"error, {least} or more agree", error, share))
    for agreeing, (share, error) in _by_agreement(judged).items():
        rows.append(row(f"error, exactly {agreeing} agree", error, share))
    for (combine, kind), values in eces.items():
        rows.append(row(f"ECE, {combine}, {kind}", statistics.fmean(values)))
    split = digits()
    for arm, model in zip(ARMS, five_models(), strict=True):
        rows.append(row(f"error of {arm.name}", float(1 - model.score(split.inputs, split.labels))))
    return rows


def _judge(
    judged: list[Judged],
    errors: dict[str, list[float]],
    best_single: list[float],
    eces: dict[tuple[str, Calibration], list[float]],
) -> list[Verdict]:
    exact = [error for _, error in _by_agreement(judged).values()]
    least_fall = min(before - after for before, after in itertools.pairwise(exact))
    weighted, best = statistics.fmean(errors["weighted"]), statistics.fmean(best_single)
    unanimous = _at_least_agreeing(judged, len(ARMS))[1]
    verdicts = [
        Verdict(
            "least fall of the error with one more model that agrees",
            least_fall,
            "> 0",
            least_fall > 0,
        ),
        at_most("error when all agree / error of the majority", unanimous / _error(judged), 0.5),
        at_most("error by learned weights less that of the best model", weighted - best, 0.003),
    ]
    for combine in _COMBINES:
        raw = statistics.fmean(eces[combine, Calibration.NONE])
        for kind in (Calibration.ISOTONIC, Calibration.PLATT, Calibration.TEMPERATURE):
            after = statistics.fmean(eces[combine, kind])
            name = f"ECE of {combine} after {kind} calibration / before"
            note = f"{after:.4f} / {raw:.4f}"
            verdicts.append(at_most(name, after / raw, 0.5, note))
    return verdicts
