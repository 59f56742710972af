"""Fits a cascade's learned gate to labelled votes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipper.selection.trust import Features, Gate

_NEWTON_STEPS = 100
_RIDGE = 1e-4
"""Keeps the weights finite when the features separate right from wrong completely."""


def fit_gate(features: Sequence[Features | None], losses: Sequence[float]) -> Gate:
    """Return the gate that says how likely a model is right, from what it said and its losses.

    A logistic regression, fitted by iteratively reweighted least squares.
    """
    known = [at for at, one in enumerate(features) if one is not None]
    if not known:
        return Gate()
    rows = np.array([[1.0, *(features[at] or ())] for at in known])
    right = np.array([1.0 - losses[at] for at in known])
    size = rows.shape[1]
    ridge = _RIDGE * np.diag([0.0] + [1.0] * (size - 1)) * len(rows) + 1e-9 * np.eye(size)
    weights = np.zeros(size)
    for _ in range(_NEWTON_STEPS):
        said = 1.0 / (1.0 + np.exp(-np.clip(rows @ weights, -30.0, 30.0)))
        gradient = rows.T @ (right - said) - ridge @ weights
        curvature = (rows * (said * (1.0 - said))[:, None]).T @ rows + ridge
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-8:
            break
    return Gate(*(float(weight) for weight in weights))
