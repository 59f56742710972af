"""A pickled Python function as a model (spec §9.3)."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import Any

import cloudpickle

from clipper.artifacts import FUNCTION_FILE, MODULES_DIR
from clipper.container.model import Model
from clipper.rpc.codec import InputBatch


def load_function(path: str) -> Callable[..., Any]:
    """Unpickle the prediction function of a saved model, its own modules first in reach.

    Raises:
        ImportError: the function needs a package that is not installed.
        OSError: there is no function file.
    """
    directory = pathlib.Path(path)
    modules = directory / MODULES_DIR
    if modules.is_dir():
        sys.path.append(str(modules))
    with (directory / FUNCTION_FILE).open("rb") as file:
        function: Callable[..., Any] = cloudpickle.load(file)
    return function


class PythonClosureModel(Model):
    """Calls ``f(inputs)``."""

    _function: Callable[..., Any]

    def load(self, path: str) -> None:
        """Load the function; see `load_function`."""
        self._function = load_function(path)

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it."""
        return self._function(inputs)
