"""A Keras model with a pickled prediction function (spec §9.3)."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle
import keras

from clipper.artifacts import KERAS_CUSTOM_OBJECTS_FILE, KERAS_MODEL_STEM
from clipper.container.frameworks.python_closure import load_function
from clipper.container.model import Model
from clipper.errors import ClipperException
from clipper.rpc.codec import InputBatch


class KerasModel(Model):
    """Calls ``f(model, inputs)``. The model is not compiled: it can predict, but not train."""

    _function: Callable[..., Any]
    _model: Any

    def load(self, path: str) -> None:
        """Load the function, then the model.

        Raises:
            ImportError: Keras or a package that the function needs is not installed.
            ClipperException: there is no model file.
        """
        # Otherwise every `predict` would draw a progress bar into the container's log.
        keras.config.disable_interactive_logging()
        directory = pathlib.Path(path)
        self._function = load_function(path)
        # Model data is code in Clipper, lambda layers no more than the function beside them. Losses
        # and metrics of the training are not needed here, nor is their code.
        self._model = keras.models.load_model(
            _model_file(directory),
            custom_objects=_custom_objects(directory),
            compile=False,
            safe_mode=False,
        )

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it."""
        return self._function(self._model, inputs)


def _model_file(directory: pathlib.Path) -> pathlib.Path:
    for suffix in (".keras", ".h5"):
        file = directory / f"{KERAS_MODEL_STEM}{suffix}"
        if file.is_file():
            return file
    raise ClipperException(f"{directory} holds no {KERAS_MODEL_STEM}.keras or .h5")


def _custom_objects(directory: pathlib.Path) -> Mapping[str, Any]:
    file = directory / KERAS_CUSTOM_OBJECTS_FILE
    if not file.is_file():
        return {}
    objects: Mapping[str, Any] = cloudpickle.loads(file.read_bytes())
    return objects
