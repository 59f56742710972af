"""One ensemble application on repeated halves of the images: feedback on one, judged on the other.

What E11 and E12 have in common. The policy learns its weights, and the confidences are calibrated,
from the feedback half alone.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks.selection.experts import (
    NAMES,
    arms,
    ballots,
    digits,
    five_models,
    label_vote,
)
from benchmarks.selection.learning import Learner, make
from clipper.selection.calibration import Calibration, Calibrator, fit, observations
from clipper.selection.policy import Arm, State
from clipper.selection.state import apply
from clipper.selection.votes import Vote, read_vote

ARMS = arms(NAMES)
SPLITS = 20
"""An eighth of a point is one image of a half: single splits say little."""

Examples = Sequence[tuple[Mapping[Arm, Vote], str]]
"""Who says what about an image, and its label."""


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """The answer to one image."""

    confidence: float
    """Raw: the share of all weight that is for the label."""
    right: bool
    agreeing: int
    """Models that name the label."""


def halves() -> Iterator[tuple[Examples, Examples]]:
    """Yield images for feedback and images to judge on; no model was trained on either."""
    split = digits()
    votes = [
        [label_vote(label) for label in model.predict(split.inputs).tolist()]
        for model in five_models()
    ]
    examples = list(
        zip(ballots(ARMS, votes), (str(label) for label in split.labels.tolist()), strict=True)
    )
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(len(examples)).tolist()
        middle = len(order) // 2
        yield [examples[at] for at in order[:middle]], [examples[at] for at in order[middle:]]


def learned(combine: str, feedback: Examples) -> Learner:
    """Return an ensemble that has had all the feedback once."""
    learner = Learner(make("ensemble", combine=combine), ARMS, random.Random(0))
    for ballot, label in feedback:
        learner.round(ballot, label)
    return learner


def judge(learner: Learner, examples: Examples) -> list[Judged]:
    """Return what becomes of each example; nothing is learned from it."""
    found = []
    for ballot, label in examples:
        combined = learner.answer(ballot)
        assert combined.output is not None
        assert combined.confidence is not None
        said = read_vote(combined.output).label
        agreeing = sum(vote.label == said for vote in ballot.values())
        found.append(Judged(combined.confidence, said == label, agreeing))
    return found


def books(judged: Sequence[Judged]) -> State:
    """Return a state as feedback on these answers leaves it: their confidences and outcomes."""
    state: State = {}
    for one in judged:
        state = apply(state, observations(one.confidence, one.right), None)
    return state


def calibrator(kind: Calibration, learner: Learner, feedback: Examples) -> Calibrator:
    """Return the calibrator that feedback on these examples gives."""
    return fit(kind, books(judge(learner, feedback)))
