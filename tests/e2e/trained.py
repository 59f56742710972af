"""Small models trained for real on scikit-learn's digits, and functions that serve them.

``features`` is 64 for the data set's own 8 by 8 numbers from 0 to 16, or 784 for whole numbers from
0 to 255 in the shape of MNIST: the same digits three times as large in a frame (spec §12.4). The
functions travel by value, so each is self-contained. Frameworks are imported where they are used.
Each model is trained once in a process; tests share it and must not change it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

TESTED = 300
"""Digits that no model saw in training."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model and what it is worth."""

    model: Any
    x_test: np.ndarray[Any, Any]
    y_test: np.ndarray[Any, Any]
    expected: np.ndarray[Any, Any]
    """What the model itself says of ``x_test`` in this process."""

    @property
    def accuracy(self) -> float:
        """Share of ``y_test`` that the model gets right."""
        return float(np.mean(self.expected == self.y_test))

    def queries(self, count: int = TESTED) -> list[list[Any]]:
        """Return the first test inputs as JSON holds them."""
        return [row.tolist() for row in self.x_test[:count]]

    def served_accuracy(self, outputs: Sequence[Any]) -> float:
        """Share that a served model gets right, from its outputs for the first test inputs."""
        given = np.array([int(float(output)) for output in outputs])
        return float(np.mean(given == self.y_test[: len(given)]))

    def disagreement(self, outputs: Sequence[Any]) -> int:
        """How many outputs differ from what the model said in training."""
        given = np.array([int(float(output)) for output in outputs])
        return int(np.sum(given != self.expected[: len(given)]))


@functools.cache
def digits(features: int = 64) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return all 1797 digits and their labels, in one fixed random order."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(7).permutation(len(x))
    x, y = x[order], y[order]
    if features == 64:
        return x, y
    assert features == 784, "64 or 784"
    large = np.kron(x.reshape(-1, 8, 8), np.ones((3, 3)))
    framed = np.pad(large, ((0, 0), (2, 2), (2, 2)))
    return np.rint(framed.reshape(-1, 784) * (255 / 16)).astype(np.int32), y


@functools.cache
def sklearn(features: int = 64) -> Trained:
    """A pipeline of scaling and logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler

    model = make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=200))
    x, y, x_test, y_test = _split(features)
    model.fit(x, y)
    return Trained(model, x_test, y_test, model.predict(x_test))


@functools.cache
def pytorch(features: int = 64) -> Trained:
    """A linear module on raw numbers, trained with Adam; dropout shows if it is not evaluating."""
    import torch

    x, y, x_test, y_test = _split(features)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = torch.nn.Sequential(
            torch.nn.BatchNorm1d(features), torch.nn.Dropout(0.5), torch.nn.Linear(features, 10)
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        inputs, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
        for _ in range(50):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        expected = model(torch.tensor(x_test, dtype=torch.float32)).argmax(dim=1).numpy()
    return Trained(model, x_test, y_test, expected)


@functools.cache
def xgboost(features: int = 64) -> Trained:
    """Boosted trees of the scikit-learn interface; ``model.get_booster()`` is the `Booster`."""
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=15, max_depth=4, learning_rate=0.5, random_state=7, n_jobs=1)
    x, y, x_test, y_test = _split(features)
    model.fit(x, y)
    return Trained(model, x_test, y_test, model.predict(x_test))


@functools.cache
def shallow_tree(depth: int) -> Trained:
    """A decision tree that is too shallow for ten digits: right on about half with a depth of 4."""
    from sklearn.tree import DecisionTreeClassifier

    x, y, x_test, y_test = _split(64)
    model = DecisionTreeClassifier(max_depth=depth, random_state=7).fit(x, y)
    return Trained(model, x_test, y_test, model.predict(x_test))


@functools.cache
def hasty() -> Trained:
    """Logistic regression on 60 digits: right on about four of five, and unsure of the others."""
    from sklearn.linear_model import LogisticRegression

    x, y, x_test, y_test = _split(64)
    model = LogisticRegression(max_iter=300).fit(x[:60], y[:60])
    return Trained(model, x_test, y_test, model.predict(x_test))


@functools.cache
def lightgbm(features: int = 64) -> Trained:
    """Boosted trees of the scikit-learn interface; ``model.booster_`` is the `Booster`."""
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=15, learning_rate=0.3, random_state=7, n_jobs=1, verbose=-1)
    x, y, x_test, y_test = _split(features)
    model.fit(x, y)
    return Trained(model, x_test, y_test, np.argmax(model.booster_.predict(x_test), axis=1))


@functools.cache
def onnx(features: int = 64) -> Trained:
    """A graph of scores (one row of ten for each query) of the scikit-learn pipeline."""
    from onnx import TensorProto, helper, numpy_helper

    base = sklearn(features)
    scaler, regression = (step for _, step in base.model.steps)
    weights = (regression.coef_ / scaler.scale_).T.astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["scores"])],
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", features])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(regression.intercept_.astype(np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return dataclasses.replace(base, model=model)


def predict_with_sklearn(model: Any, inputs: Any) -> Any:
    """Serve `sklearn`, and the scikit-learn style models of `xgboost` and `lightgbm`."""
    return model.predict(inputs)


def predict_with_confidence(model: Any, inputs: Any) -> list[str]:
    """Serve `hasty` with what it thinks of its own answers."""
    import json

    return [
        json.dumps({"label": int(model.classes_[row.argmax()]), "confidence": float(row.max())})
        for row in model.predict_proba(inputs)
    ]


def predict_unless_broken(path: str) -> Callable[[Any, Any], list[int]]:
    """Serve `xgboost`, but answer at random while there is a file."""

    def predict(model: Any, inputs: Any) -> list[int]:
        import os
        import random

        if os.path.exists(path):
            return [random.randrange(10) for _ in inputs]
        return [int(label) for label in model.predict(inputs)]

    return predict


def predict_with_pytorch(module: Any, inputs: Any) -> list[int]:
    """Serve `pytorch`."""
    import numpy
    import torch

    scores = module(torch.tensor(numpy.array(inputs), dtype=torch.float32))
    labels: list[int] = scores.argmax(dim=1).tolist()
    return labels


def predict_with_xgboost_booster(booster: Any, inputs: Any) -> list[int]:
    """Serve ``xgboost().model.get_booster()``."""
    import numpy
    from xgboost import DMatrix

    scores = booster.predict(DMatrix(numpy.array(inputs)))
    return [int(numpy.argmax(row)) for row in scores]


def predict_with_lightgbm_booster(booster: Any, inputs: Any) -> list[int]:
    """Serve ``lightgbm().model.booster_``."""
    import numpy

    return [int(numpy.argmax(row)) for row in booster.predict(numpy.array(inputs))]


def predict_with_onnx(model: Any, inputs: Any) -> list[int]:
    """Serve `onnx`, and `pytorch` after its conversion, as functions did in Caffe2's time."""
    import numpy

    scores = model.run(numpy.array(inputs).astype(numpy.float32))[0]
    return [int(numpy.argmax(row)) for row in scores]


def xgboost_closure(model: Any) -> Callable[[Any], list[Any]]:
    """Return a function that holds an XGBoost model, as the original's test did (F5)."""

    def predict(inputs: Any) -> list[Any]:
        import numpy

        return [str(label) for label in model.predict(numpy.array(inputs))]

    return predict


def _split(features: int) -> tuple[np.ndarray[Any, Any], ...]:
    x, y = digits(features)
    return x[:-TESTED], y[:-TESTED], x[-TESTED:], y[-TESTED:]
