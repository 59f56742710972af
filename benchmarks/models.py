"""The models that benchmarks serve. Trained here, on data made or bundled, always the same."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

FOREST_TREES = 20
"""About 2 ms for a batch of scikit-learn's, whatever its size: what costs is the call of a tree."""
WIDE = 784
"""Numbers of a wide input: an image of 28 x 28."""


def digits_forest() -> RandomForestClassifier:
    """Return a random forest of depth 16 on 64 grey values, in one thread."""
    inputs, labels = load_digits(return_X_y=True)
    forest = RandomForestClassifier(FOREST_TREES, max_depth=16, random_state=7, n_jobs=1)
    return forest.fit(inputs, labels)


def wide_logistic() -> LogisticRegression:
    """Return a logistic regression with ten classes on 784 numbers: enlarged digits."""
    inputs, labels = load_digits(return_X_y=True)
    wide = np.kron(inputs.reshape(-1, 8, 8), np.ones((1, 4, 4)))[:, 2:30, 2:30].reshape(-1, WIDE)
    return LogisticRegression(max_iter=30, tol=0.1).fit(wide / 16.0, labels)


def values(size: int) -> list[float]:
    """Return an input of so many numbers, one digit behind the point each."""
    generator = np.random.default_rng(11)
    return [float(value) / 10 for value in generator.integers(0, 10, size)]
