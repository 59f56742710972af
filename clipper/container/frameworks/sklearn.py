"""A scikit-learn estimator with a pickled prediction function (spec §9.3)."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import joblib

from clipper.artifacts import SKLEARN_MODEL_FILE
from clipper.container.frameworks.python_closure import load_function
from clipper.container.model import Model
from clipper.rpc.codec import InputBatch

with warnings.catch_warnings():
    # Filters that this import adds would be set up again for each tree of a forest, at each call.
    import sklearn  # noqa: F401 - here, so that the model's own import adds none


class SklearnModel(Model):
    """Calls ``f(model, inputs)``; numeric inputs of one length suit ``model.predict``."""

    _function: Callable[..., Any]
    _estimator: Any

    def load(self, path: str) -> None:
        """Load the estimator and the function.

        Raises:
            ImportError: scikit-learn or a package that the function needs is not installed.
        """
        self._function = load_function(path)
        self._estimator = joblib.load(pathlib.Path(path) / SKLEARN_MODEL_FILE)

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it."""
        return self._function(self._estimator, inputs)
