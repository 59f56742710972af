"""E10: Exp3 and Exp4 while the best of five models fails and comes back (NSDI'17, figure 8).

The protocol is the paper's: 20,000 queries drawn with replacement, 50 trials, the best model
answers at random from query 5,000 to 10,000. Both policies run as they are by default, and in the
paper's form: without a floor under a model's weight and without a share of queries for everybody.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from benchmarks.publishing import Result, panels
from benchmarks.selection import published
from benchmarks.selection.experts import (
    CLASSES,
    NAMES,
    Array,
    arms,
    ballots,
    digits,
    five_models,
    label_vote,
)
from benchmarks.selection.learning import Learner, make
from benchmarks.verdict import Verdict, at_least, at_most
from clipper.selection.policy import Arm, SelectionPolicy
from clipper.selection.votes import Vote

QUERIES, TRIALS = 20_000, 50
FAILS, RETURNS = 5_000, 10_000
_EVERY = 250
_WINDOW = 500
_PAPERS_FORM = {"gamma": 0.0, "depth": 700.0}
"""The least that the options allow: weights that only shrink (algorithms §1.12)."""
_ARMS = arms(NAMES)
_BEST = len(NAMES) - 1
_SIMULATED = "exp3, the paper's form, models as accurate as the paper's"
_COLOURS = {"exp3": "tab:blue", "exp4": "tab:red"}

Ask = Callable[[random.Random, bool], tuple[Mapping[Arm, Vote], str]]
"""Draws a query: whether the best model fails → who says what, and the right label."""


def run() -> Result:
    """Run all trials of all lines."""
    stage = _Stage()
    lines: dict[str, tuple[Callable[[], SelectionPolicy], Ask]] = {
        "exp3": (lambda: make("exp3"), stage.ask),
        "exp4": (lambda: make("exp4"), stage.ask),
        "exp3, the paper's form": (lambda: make("exp3", eta=0.05, **_PAPERS_FORM), stage.ask),
        "exp4, the paper's form": (
            lambda: make("exp4", variant="a", eta=0.2, **_PAPERS_FORM),
            stage.ask,
        ),
        _SIMULATED: (lambda: make("exp3", eta=0.05, **_PAPERS_FORM), ask_simulated),
    }
    curves = {name: _Curve(_trials(policy, ask)) for name, (policy, ask) in lines.items()}
    statics = [_Curve(error) for error in stage.static_errors()]
    rows = [
        {
            "line": name,
            "queries": end,
            "cumulative_error": curve.cumulative(end),
            "window_error": curve.window(end - _EVERY, end),
        }
        for name, curve in {**curves, **dict(zip(NAMES, statics, strict=True))}.items()
        for end in range(_EVERY, QUERIES + 1, _EVERY)
    ]
    figure, (left, right) = panels(2)
    _plot_cumulative(left, curves, statics)
    _plot_windows(right, curves)
    notes = [
        f"{TRIALS} trials of {QUERIES} queries; each line sees the same queries",
        "Exp3 asks one model, so models of the paper's accuracies give it the paper's figures; "
        "Exp4 depends on which models err together, which accuracies do not tell",
    ]
    return Result("e10", "The best model fails and comes back", rows, _judge(curves, statics),
                  figure, notes)  # fmt: skip


class _Curve:
    """Mean error of each query over the trials."""

    def __init__(self, errors: Array) -> None:
        self.errors = errors

    def cumulative(self, end: int) -> float:
        return float(self.errors[:end].mean())

    def window(self, start: int, end: int) -> float:
        return float(self.errors[start:end].mean())

    def back_within(self, level: float) -> int:
        """Return how many queries after the return a window of 500 is first below a level."""
        for end in range(RETURNS + _WINDOW, QUERIES + 1, 50):
            if self.window(end - _WINDOW, end) <= level:
                return end - RETURNS
        return QUERIES - RETURNS


class _Stage:
    """Votes on every image, with the best model well and with each of its random answers."""

    def __init__(self) -> None:
        split = digits()
        predictions = [model.predict(split.inputs) for model in five_models()]
        self.accuracies = [float((said == split.labels).mean()) for said in predictions]
        votes = [[label_vote(label) for label in said.tolist()] for said in predictions]
        self._labels = [str(label) for label in split.labels.tolist()]
        self._well = ballots(_ARMS, votes)
        spoken = [label_vote(label) for label in range(CLASSES)]
        self._failing = [
            [{**ballot, _ARMS[_BEST]: vote} for vote in spoken] for ballot in self._well
        ]

    def ask(self, rng: random.Random, fails: bool) -> tuple[Mapping[Arm, Vote], str]:
        """Draw an image."""
        at = rng.randrange(len(self._labels))
        label = rng.randrange(CLASSES)
        return (self._failing[at][label] if fails else self._well[at]), self._labels[at]

    def static_errors(self) -> list[Array]:
        """Return what always asking one model would lose, for each query: its expectation."""
        errors = [np.full(QUERIES, 1.0 - accuracy) for accuracy in self.accuracies]
        errors[_BEST][FAILS:RETURNS] = 1.0 - 1.0 / CLASSES
        return errors


def ask_simulated(rng: random.Random, fails: bool) -> tuple[Mapping[Arm, Vote], str]:
    """Draw a query to models that are right as often as the paper's, and else say nonsense."""
    right, wrong = label_vote(0), label_vote(1)
    odds = [*published.ACCURACIES[:_BEST], 0.1 if fails else published.ACCURACIES[_BEST]]
    said = [right if rng.random() < chance else wrong for chance in odds]
    return dict(zip(_ARMS, said, strict=True)), "0"


def _trials(policy: Callable[[], SelectionPolicy], ask: Ask) -> Array:
    """Return each query's share of wrong answers over the trials."""
    wrong = np.zeros(QUERIES)
    for trial in range(TRIALS):
        queries = random.Random(trial)
        learner = Learner(policy(), _ARMS, random.Random(1_000_000 + trial))
        for number in range(QUERIES):
            ballot, label = ask(queries, FAILS <= number < RETURNS)
            wrong[number] += learner.round(ballot, label)
    return wrong / TRIALS


def _judge(curves: Mapping[str, _Curve], statics: Sequence[_Curve]) -> list[Verdict]:
    best_static = min(curve.cumulative(QUERIES) for curve in statics)
    survivor = min(curve.window(8_000, RETURNS) for curve in statics[:_BEST])
    best = statics[_BEST].window(18_000, QUERIES)
    verdicts = []
    for form in ("", ", the paper's form"):
        exp3, exp4 = curves[f"exp3{form}"], curves[f"exp4{form}"]
        for name, curve in ((f"exp3{form}", exp3), (f"exp4{form}", exp4)):
            verdicts += [
                Verdict(
                    f"{name}: error of 20,000 queries",
                    curve.cumulative(QUERIES),
                    f"< {best_static:.4f}",
                    curve.cumulative(QUERIES) < best_static,
                    "the best model to be asked always, known in hindsight",
                ),
                at_most(
                    f"{name}: error above the best surviving model's, queries 8,000 to 10,000",
                    curve.window(8_000, RETURNS) - survivor,
                    0.03,
                ),
                at_most(
                    f"{name}: error above the returned model's, queries 18,000 to 20,000",
                    curve.window(18_000, QUERIES) - best,
                    0.04,
                ),
            ]
        gain = exp3.cumulative(QUERIES) - exp4.cumulative(QUERIES)
        verdicts.append(at_least(f"error of exp3 less that of exp4{form}", gain, 0.0))
    for name in ("exp3", "exp4"):
        ours, papers = (
            curves[one].back_within(best + 0.04) for one in (name, f"{name}, the paper's form")
        )
        verdicts.append(
            Verdict(
                f"{name}: queries until it is within 4 points of the returned model",
                ours,
                f"< {papers}",
                ours < papers,
                "the paper's form takes as many as the bar",
            )
        )
    return [*verdicts, *_compare(curves[_SIMULATED])]


def _compare(simulated: _Curve) -> list[Verdict]:
    """Lay the curve of models as accurate as the paper's on what the paper's data gives."""
    gaps = [
        abs(simulated.cumulative(end) - error)
        for end, error in published.CUMULATIVE["exp3"].items()
    ] + [
        abs(simulated.window(*window) - error)
        for window, error in published.WINDOWS["exp3"].items()
    ]
    name = "exp3 on models as accurate as the paper's: largest distance to the published figures"
    return [at_most(name, max(gaps), 0.015, "six figures: three cumulative, three windows")]


def _plot_cumulative(axes: Axes, curves: Mapping[str, _Curve], statics: Sequence[_Curve]) -> None:
    ends = range(_EVERY, QUERIES + 1, _EVERY)
    for name, curve in zip(NAMES, statics, strict=True):
        style = "-" if name == NAMES[_BEST] else ":"
        axes.plot(ends, [curve.cumulative(end) for end in ends], style, color="0.6", linewidth=1)
        axes.annotate(name, (QUERIES, curve.cumulative(QUERIES)), fontsize=6, color="0.4")
    _plot_lines(axes, curves, lambda curve, end: curve.cumulative(end))
    for name, points in published.CUMULATIVE.items():
        axes.plot(
            list(points), list(points.values()), "D", markersize=5, markerfacecolor="none",
            color=_COLOURS.get(name, "0.3"), label=f"published, CIFAR-10: {name}",
        )  # fmt: skip
    axes.set(xlabel="queries", ylabel="mean error so far", ylim=(0, 0.55))
    axes.legend(fontsize=6, loc="upper right")


def _plot_windows(axes: Axes, curves: Mapping[str, _Curve]) -> None:
    _plot_lines(axes, curves, lambda curve, end: curve.window(max(0, end - _WINDOW), end))
    simulated = curves[_SIMULATED]
    ends = range(_EVERY, QUERIES + 1, _EVERY)
    axes.plot(
        ends, [simulated.window(max(0, end - _WINDOW), end) for end in ends], color="0.6",
        linewidth=1, label="exp3, models of the paper's accuracies",
    )  # fmt: skip
    for name in ("exp3", "exp4"):
        for number, (window, error) in enumerate(published.WINDOWS[name].items()):
            label = "" if number else f"published, CIFAR-10: {name}"
            axes.plot(window, (error, error), "D-", markersize=4, markerfacecolor="none",
                      color=_COLOURS[name], label=label)  # fmt: skip
    axes.set(xlabel="queries", ylabel=f"error of the last {_WINDOW}", ylim=(0, 0.55))
    axes.legend(fontsize=6, loc="upper right")


def _plot_lines(
    axes: Axes, curves: Mapping[str, _Curve], value: Callable[[_Curve, int], float]
) -> None:
    axes.axvspan(FAILS, RETURNS, color="tab:orange", alpha=0.1)
    ends = range(_EVERY, QUERIES + 1, _EVERY)
    for name, curve in curves.items():
        if name != _SIMULATED:
            policy, _, form = name.partition(", ")
            style: Any = {"linestyle": "--" if form else "-", "color": _COLOURS[policy]}
            axes.plot(ends, [value(curve, end) for end in ends], **style, label=name)
