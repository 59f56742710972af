"""E13: ensembles with stragglers, under a virtual clock (NSDI'17 §5.2.2, figure 9).

Every member is a forest of five trees, trained on a part of the images, in a container of its own,
which now and then takes ten times as long. The whole query path is the real one. Lines:

* the ensemble policy: replies at the deadline, or as soon as the vote is decided;
* until the deadline: the same, but it waits for everybody as long as there is time;
* blocking: waits for everybody, however long that takes.
"""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from benchmarks.publishing import Result, panels
from benchmarks.recorder import percentile
from benchmarks.selection import published
from benchmarks.selection.experts import Split, digits
from benchmarks.selection.mnist import mnist
from benchmarks.selection.simulated_frontend import Seconds, SimulatedFrontend, SimulatedModel
from benchmarks.simulation.arrivals import poisson
from benchmarks.verdict import Verdict, at_least, at_most
from clipper.selection.ensemble import EnsembleOptions, EnsemblePolicy
from clipper.selection.policy import Arm, Choice, SelectionPolicy, State
from clipper.selection.votes import Vote

SLO_S = 0.020
_TOLERANCE_S = 0.002
_PATIENCE_S = 30.0
SIZES = (1, 2, 4, 8, 12, 16)
STRAGGLERS, FACTOR = 0.05, 10.0
_MORE_STRAGGLERS = (0.1, 0.15, 0.2, 0.3)
_FIXED_S, _ITEM_S, _SPREAD = 0.004, 0.0002, 0.3
_RATE = 60.0
_QUERIES = 3_000
_BATCH = 16
_TREES = 5
_SAMPLE, _LARGE_SAMPLE = 0.05, 0.3
"""Shares of the images that a member is trained on: the paper's, and the one of the bundled digits
that makes members about as good as the paper's, alone and together."""

OURS, UNTIL, BLOCKING = "ensemble policy", "until the deadline", "blocking"


class WaitingEnsemble(EnsemblePolicy):
    """Waits for everybody, as the original does; the objective alone ends the wait."""

    def advance(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], missing: Sequence[Arm]
    ) -> Sequence[Arm] | None:
        """Never end the wait."""
        return ()


_LINES: Mapping[str, tuple[type[SelectionPolicy], float]] = {
    OURS: (EnsemblePolicy, SLO_S),
    UNTIL: (WaitingEnsemble, SLO_S),
    BLOCKING: (WaitingEnsemble, _PATIENCE_S),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Members:
    """The ensemble's models, the first few of which are asked."""

    name: str
    answers: Sequence[Sequence[bytes]]
    """By member, by image."""
    labels: Sequence[int]
    """Of the images."""


def run() -> Result:
    """Run all lines at all sizes, and the largest ensemble with more and more stragglers.

    Members are the paper's, which takes its images (`mnist`), or such as are about as good; and,
    to show what deadlines cost an ensemble in which every member counts, poor ones.
    """
    few = _members("a twentieth of the bundled digits", digits(), _SAMPLE)
    images = mnist()
    if images is None:
        many = _members("three tenths of the bundled digits", digits(), _LARGE_SAMPLE)
    else:
        many = _members("a twentieth of MNIST", images, _SAMPLE)
    rows, poor_rows = _measure_all(many), _measure_all(few)
    figure, (left, middle, right) = panels(3)
    for line in _LINES:
        mine = [row for row in rows if row["line"] == line and row["stragglers"] == STRAGGLERS]
        sizes = [row["size"] for row in mine]
        left.plot(sizes, [row["p99_ms"] for row in mine], "o-", label=f"{line}, P99")
        left.plot(sizes, [row["mean_ms"] for row in mine], ":", color=left.lines[-1].get_color(),
                  label=f"{line}, mean")  # fmt: skip
        middle.plot(sizes, [row["accuracy"] for row in mine], "o-", label=line)
    if images is not None:
        published_sizes, shares = zip(*published.ENSEMBLES.items(), strict=True)
        middle.plot(published_sizes, shares, "x", color="0.3", label="published: all members")
    left.axhline(SLO_S * 1e3, color="0.5", linewidth=1)
    left.set(xlabel="members", ylabel="latency, ms", yscale="log")
    middle.set(xlabel="members", ylabel="share of right answers")
    for members, all_rows in ((many, rows), (few, poor_rows)):
        some = [row for row in all_rows if row["line"] == UNTIL and row["size"] == SIZES[-1]]
        missing = [row["unheard"] for row in some]
        right.plot(missing, [row["accuracy"] for row in some], "o-", label=members.name)
    right.set(xlabel=f"share of {SIZES[-1]} members missing", ylabel="share of right answers")
    for axis in (left, middle, right):
        axis.legend(fontsize=6)
    notes = [
        f"{_QUERIES} queries at {_RATE:.0f} per second; objective {SLO_S * 1e3:.0f} ms; a batch of "
        f"b takes {_FIXED_S * 1e3:g} ms + {_ITEM_S * 1e3:g} ms b, lognormal; {STRAGGLERS:.0%} of "
        f"the batches take {FACTOR:g} times as long, and what is behind them waits",
        "an ensemble of one has nobody to stand in: what it misses are defaults, counted as wrong",
        f"members are trained on {many.name}; poor ones on {few.name}",
    ]
    verdicts = [
        *_judge(rows),
        _judge_sizes(rows),
        _judge_sizes(poor_rows, "poor members: "),
        _judge_loss(poor_rows, "poor members: "),
    ]
    if images is None:
        notes.append("MNIST was not found: `make mnist` fetches it, $MNIST says where it is")
    else:
        verdicts.append(_judge_published(rows))
    rows = [{"members": many.name, **row} for row in rows]
    rows += [{"members": few.name, **row} for row in poor_rows]
    return Result("e13", "Ensembles with stragglers", rows, verdicts, figure, notes)


def _members(name: str, split: Split, share: float) -> Members:
    """Train each member on this share of the images, drawn for it."""
    rng = np.random.default_rng(9)
    answers = []
    for number in range(SIZES[-1]):
        sample = rng.choice(len(split.train_inputs), int(share * len(split.train_inputs)))
        forest = RandomForestClassifier(_TREES, random_state=number)
        forest.fit(split.train_inputs[sample], split.train_labels[sample])
        answers.append([b"%d" % label for label in forest.predict(split.inputs).tolist()])
    return Members(name, answers, split.labels.tolist())


def _measure_all(members: Members) -> list[dict[str, Any]]:
    rows = [_measure(line, size, STRAGGLERS, members) for line in _LINES for size in SIZES]
    rows += [
        _measure(line, SIZES[-1], share, members)
        for share in _MORE_STRAGGLERS
        for line in (OURS, UNTIL)
    ]
    return rows


def _delays(stragglers: float, seed: int) -> Seconds:
    rng = random.Random(seed)

    def seconds(size: int) -> float:
        factor = math.exp(rng.gauss(0.0, _SPREAD))
        if rng.random() < stragglers:
            factor *= FACTOR
        return (_FIXED_S + _ITEM_S * size) * factor

    return seconds


def _measure(line: str, size: int, stragglers: float, members: Members) -> dict[str, Any]:
    policy, slo_s = _LINES[line]
    models = [SimulatedModel(members.answers[n], _delays(stragglers, n)) for n in range(size)]
    frontend = SimulatedFrontend(models, policy(EnsembleOptions()), slo_s, _BATCH)
    start_s = frontend.clock.now()
    end_s = start_s + _QUERIES / _RATE
    labels = members.labels
    rng = random.Random(2)
    arrivals_s = list(poisson(_RATE, start_s, end_s, seed=3))
    numbers = [rng.randrange(len(labels)) for _ in arrivals_s]
    frontend.run(arrivals_s, numbers, end_s + 2 * _PATIENCE_S)
    replies = list(frontend.replies.values())
    assert len(replies) == len(arrivals_s)
    latencies_s = sorted(reply.latency_s for reply in replies)
    return {
        "line": line,
        "size": size,
        "stragglers": stragglers,
        "mean_ms": statistics.fmean(latencies_s) * 1e3,
        "p50_ms": percentile(latencies_s, 0.5) * 1e3,
        "p99_ms": percentile(latencies_s, 0.99) * 1e3,
        "unheard": statistics.fmean(reply.unheard for reply in replies),
        "defaults": statistics.fmean(reply.output is None for reply in replies),
        "accuracy": statistics.fmean(
            reply.output == b"%d" % labels[reply.number] for reply in replies
        ),
    }


def _judge(rows: Sequence[dict[str, Any]]) -> list[Verdict]:
    def find(line: str, size: int) -> dict[str, Any]:
        (row,) = (
            row
            for row in rows
            if (row["line"], row["size"], row["stragglers"]) == (line, size, STRAGGLERS)
        )
        return row

    complete = find(BLOCKING, SIZES[-1])
    ours = [find(OURS, size) for size in SIZES]
    large = [row for row in rows if row["size"] == SIZES[-1] and row["line"] == UNTIL]
    early = [row for row in rows if row["line"] == OURS and row["size"] == SIZES[-1]]
    latest_ms = (SLO_S + _TOLERANCE_S) * 1e3
    verdicts = [
        at_most(
            "largest P99 of the ensemble policy, ms", max(r["p99_ms"] for r in ours), latest_ms
        ),
        at_least(
            f"P99 / objective, blocking, {SIZES[-1]} members",
            complete["p99_ms"] / (SLO_S * 1e3),
            3,
        ),
        _judge_loss(rows),
        at_most(
            "accuracy lost by answering once the vote is decided, points",
            100
            * statistics.fmean(
                a["accuracy"] - b["accuracy"] for a, b in zip(large, early, strict=True)
            ),
            0.5,
            f"against waiting until the deadline; mean of {len(large)} shares of stragglers",
        ),
    ]
    slowest = max(row["mean_ms"] for row in ours) / (SLO_S * 1e3)
    verdicts.append(
        Verdict("largest mean latency / objective, ensemble policy", slowest, "< 1", slowest < 1)
    )
    return verdicts


def _judge_published(rows: Sequence[dict[str, Any]]) -> Verdict:
    """Compare complete ensembles with the paper's; two members tie, and which one wins is luck."""
    whole = {row["size"]: row["accuracy"] for row in rows if row["line"] == BLOCKING}
    each = {
        size: 100 * (accuracy - published.ENSEMBLES[size])
        for size, accuracy in whole.items()
        if size != 2
    }
    return at_most(
        "distance to the paper's share of right answers, nobody missing, points",
        max(abs(points) for points in each.values()),
        2,
        "by members, " + ", ".join(f"{size}: {points:+.1f}" for size, points in each.items()),
    )


def _judge_sizes(rows: Sequence[dict[str, Any]], whose: str = "") -> Verdict:
    """Judge what deadlines cost with the stragglers of the experiment, at every size.

    An ensemble of one is left out: nobody stands in for its member, so what it misses are defaults.
    """
    usual = [row for row in rows if row["stragglers"] == STRAGGLERS and row["size"] > 1]
    whole = {row["size"]: row["accuracy"] for row in usual if row["line"] == BLOCKING}
    ours = [row for row in usual if row["line"] == OURS]
    lost = {row["size"]: 100 * (whole[row["size"]] - row["accuracy"]) for row in ours}
    each = ", ".join(f"{size}: {points:.1f}" for size, points in lost.items())
    return at_most(
        f"{whose}accuracy lost to the deadline with {STRAGGLERS:.0%} stragglers, points",
        max(lost.values()),
        2,
        f"by members, {each}",
    )


def _judge_loss(rows: Sequence[dict[str, Any]], whose: str = "") -> Verdict:
    """Judge what missing members cost the largest ensemble, with more and more stragglers."""
    largest = [row for row in rows if row["size"] == SIZES[-1]]
    (complete,) = (row for row in largest if row["line"] == BLOCKING)
    some = [row for row in largest if row["line"] == UNTIL and row["unheard"] <= 0.5]
    shares = ", ".join(f"{row['unheard']:.0%}" for row in some)
    return at_most(
        f"{whose}accuracy lost while up to half of {SIZES[-1]} members miss the deadline, points",
        100 * max(complete["accuracy"] - row["accuracy"] for row in some),
        2,
        f"runs with {shares} missing",
    )
