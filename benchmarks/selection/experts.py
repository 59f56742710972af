"""Models of bundled handwritten digits, and what they say about each image: computed once.

Policies see votes, never models, so an experiment of a million queries costs no prediction.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from clipper.outputs import Output
from clipper.selection.policy import Arm
from clipper.selection.votes import Vote, read_vote

Array = npt.NDArray[Any]

CLASSES = 10
_SPLIT_SEED = 5
_TRAINING_SHARE = 0.5
_PIXELS = slice(0, 64, 3)


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """Half of the images to train models on, half that no model has seen."""

    train_inputs: Array
    train_labels: Array
    inputs: Array
    labels: Array


@functools.cache
def digits() -> Split:
    """Return 1797 images of 8 x 8 grey values between 0 and 1, split at random, always alike."""
    inputs, labels = load_digits(return_X_y=True)
    inputs = inputs / 16.0
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(inputs))
    train, rest = np.split(order, [int(_TRAINING_SHARE * len(order))])
    return Split(inputs[train], labels[train], inputs[rest], labels[rest])


def every_third_pixel(inputs: Array) -> Array:
    """Return what the model on a third of the pixels sees."""
    return inputs[:, _PIXELS]


def weak_logistic() -> Any:
    """Return an untrained logistic regression on a third of the pixels: cheap, often unsure."""
    return make_pipeline(FunctionTransformer(every_third_pixel), LogisticRegression(max_iter=400))


def kernel_machine() -> Any:
    """Return an untrained support vector machine that gives probabilities: good, and dear."""
    return CalibratedClassifierCV(SVC(C=10.0, gamma=0.05), ensemble=False)


NAMES = ("tree-d4", "naive-bayes", "tree-d8", "logistic-third", "rbf-svm")
"""Five models from bad to good; the last is the best (algorithms, E10)."""


@functools.cache
def five_models() -> tuple[Any, ...]:
    """Return the models of `NAMES`, trained."""
    split = digits()
    models = (
        DecisionTreeClassifier(max_depth=4, random_state=0),
        GaussianNB(),
        DecisionTreeClassifier(max_depth=8, random_state=0),
        weak_logistic(),
        kernel_machine(),
    )
    return tuple(model.fit(split.train_inputs, split.train_labels) for model in models)


def arms(names: Sequence[str]) -> tuple[Arm, ...]:
    """Return one arm for each model name."""
    return tuple(Arm(f"{name}:1#1", name) for name in names)


def label_vote(label: int | str) -> Vote:
    """Return the vote of a model that names its label and says no more."""
    text = str(label).encode()
    return read_vote(Output(text, text))


def probability_votes(probabilities: Array) -> list[Vote]:
    """Return the votes of a model that gives the probability of each class, one for each row."""
    votes = []
    for row in probabilities:
        rounded = [min(1.0, max(0.0, round(float(value), 4))) for value in row]
        answer = {"label": int(row.argmax()), "probabilities": rounded}
        text = msgspec.json.encode(answer)
        votes.append(read_vote(Output(text, text)))
    return votes


def ballots(arms_: Sequence[Arm], votes: Sequence[Sequence[Vote]]) -> list[Mapping[Arm, Vote]]:
    """Return for each image who says what, from each arm's votes on all images."""
    return [dict(zip(arms_, row, strict=True)) for row in zip(*votes, strict=True)]


def agreement(votes: Mapping[Arm, Vote], label: str) -> int:
    """Return how many votes are for the label."""
    return sum(vote.label == label for vote in votes.values())
