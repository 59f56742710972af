"""A LightGBM model with a pickled prediction function."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import cloudpickle
import lightgbm

from clipper.artifacts import LIGHTGBM_ESTIMATOR_FILE, LIGHTGBM_MODEL_FILE
from clipper.container.frameworks.python_closure import load_function
from clipper.container.model import Model
from clipper.rpc.codec import InputBatch


class LightgbmModel(Model):
    """Calls ``f(model, inputs)`` with a `Booster`, or the scikit-learn style model it came in."""

    _function: Callable[..., Any]
    _model: Any

    def load(self, path: str) -> None:
        """Load the function and the model.

        Raises:
            ImportError: lightgbm or a package that the function needs is not installed.
            LightGBMError: the model file is not LightGBM's.
        """
        self._function = load_function(path)
        directory = pathlib.Path(path)
        booster = lightgbm.Booster(model_file=str(directory / LIGHTGBM_MODEL_FILE))
        estimator = directory / LIGHTGBM_ESTIMATOR_FILE
        if estimator.is_file():
            self._model = cloudpickle.loads(estimator.read_bytes())
            self._model._Booster = booster
        else:
            self._model = booster

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it."""
        return self._function(self._model, inputs)
