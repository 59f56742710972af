"""An XGBoost model with a pickled prediction function."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import cloudpickle
import xgboost

from clipper.artifacts import XGBOOST_ESTIMATOR_FILE, XGBOOST_MODEL_FILE
from clipper.container.frameworks.python_closure import load_function
from clipper.container.model import Model
from clipper.rpc.codec import InputBatch


class XgboostModel(Model):
    """Calls ``f(model, inputs)`` with a `Booster`, or the scikit-learn style model it came in."""

    _function: Callable[..., Any]
    _model: Any

    def load(self, path: str) -> None:
        """Load the function and the model.

        Raises:
            ImportError: xgboost or a package that the function needs is not installed.
            XGBoostError: the model file is not XGBoost's.
        """
        self._function = load_function(path)
        directory = pathlib.Path(path)
        estimator = directory / XGBOOST_ESTIMATOR_FILE
        if estimator.is_file():
            self._model = cloudpickle.loads(estimator.read_bytes())
        else:
            self._model = xgboost.Booster()
        self._model.load_model(str(directory / XGBOOST_MODEL_FILE))

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it."""
        return self._function(self._model, inputs)
