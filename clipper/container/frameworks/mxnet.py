"""An MXNet model with a pickled prediction function (spec §9.3)."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import mxnet as mx

from clipper.artifacts import MXNET_METADATA_FILE, MXNET_MODEL_PREFIX
from clipper.container.frameworks.python_closure import load_function
from clipper.container.model import Model
from clipper.rpc.codec import InputBatch

Shapes = list[tuple[str, tuple[int, ...]]]


class MxnetModel(Model):
    """Calls ``f(model, inputs)`` with a ``mxnet.mod.Module`` bound to the saved data shapes."""

    _function: Callable[..., Any]
    _module: Any

    def load(self, path: str) -> None:
        """Load the function and the symbol, bind it and set its parameters.

        Raises:
            ImportError: MXNet or a package that the function needs is not installed.
        """
        self._function = load_function(path)
        directory = pathlib.Path(path)
        metadata = json.loads((directory / MXNET_METADATA_FILE).read_text(encoding="utf-8"))
        shapes = [(name, tuple(shape)) for name, shape in metadata["data_shapes"]]
        self._module = _bound_module(str(directory / MXNET_MODEL_PREFIX), shapes)

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it."""
        return self._function(self._module, inputs)


def _bound_module(prefix: str, data_shapes: Shapes) -> Any:
    symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, 0)
    data_names = [name for name, _ in data_shapes]
    # Loss layers have an argument for labels, which predicting neither has nor needs.
    label_names = [
        name
        for name in symbol.list_arguments()
        if name.endswith("label") and name not in arguments and name not in data_names
    ]
    module = mx.mod.Module(symbol, data_names=data_names, label_names=label_names)
    module.bind(data_shapes=data_shapes, for_training=False)
    module.set_params(arguments, auxiliary)
    return module
