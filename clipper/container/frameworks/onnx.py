"""An ONNX graph on ONNX Runtime with a pickled prediction function (spec §9.3, F9)."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from clipper.artifacts import ONNX_MODEL_FILE
from clipper.container.frameworks.python_closure import load_function
from clipper.container.frameworks.threads import thread_count
from clipper.container.model import Model
from clipper.errors import ModelError
from clipper.rpc.codec import InputBatch

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class OnnxSession:
    """What a prediction function gets: ``run`` as Caffe2 had it and as ONNX Runtime has it."""

    def __init__(self, session: Any) -> None:
        self.session = session
        """The ``onnxruntime.InferenceSession``."""
        self._inputs = session.get_inputs()

    def run(
        self, inputs: Any, feeds: Mapping[str, Any] | None = None, run_options: Any = None
    ) -> list[np.ndarray[Any, Any]]:
        """Return the graph's outputs.

        With one argument, as on Caffe2: an array for a graph with one input; a list of queries,
        which is stacked; one array for each input; or arrays by the names of the inputs. Numbers
        are converted to the type that the graph wants, and when the graph has a fixed number of
        rows, the batch is run in portions of it. With two, as on ONNX Runtime: names of outputs
        (None means all) and ``feeds``, handed on as they are.

        Raises:
            ModelError: the arguments do not fit the graph's inputs.
        """
        if feeds is not None:
            outputs: list[np.ndarray[Any, Any]] = self.session.run(inputs, feeds, run_options)
            return outputs
        named = inputs if isinstance(inputs, Mapping) else self._by_name(inputs)
        arrays = {one.name: self._converted(one, named) for one in self._inputs}
        parts = [self.session.run(None, part) for part in self._portions(arrays)]
        if len(parts) == 1:
            return list(parts[0])
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _by_name(self, inputs: Any) -> dict[str, Any]:
        names = [one.name for one in self._inputs]
        if isinstance(inputs, list | tuple) and self._is_one_for_each(inputs):
            return dict(zip(names, inputs, strict=True))
        if len(names) != 1:
            raise ModelError(
                f"The graph has the inputs {', '.join(names)}: give a list with one array for "
                "each, or a dictionary"
            )
        return {names[0]: np.asarray(inputs)}

    def _is_one_for_each(self, inputs: Sequence[Any]) -> bool:
        if len(inputs) != len(self._inputs):
            return False
        return len(inputs) > 1 or np.ndim(inputs[0]) == len(self._inputs[0].shape)

    def _converted(self, wanted: Any, named: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        if wanted.name not in named:
            raise ModelError(f"There is no array for the graph's input {wanted.name}")
        return np.asarray(named[wanted.name], dtype=_DTYPES.get(wanted.type))

    def _portions(
        self, arrays: dict[str, np.ndarray[Any, Any]]
    ) -> list[dict[str, np.ndarray[Any, Any]]]:
        """Split where the graph was made for a fixed number of rows that divides this one."""
        fixed = {one.shape[0] if one.shape else None for one in self._inputs}
        lengths = {len(array) if array.ndim else None for array in arrays.values()}
        if len(fixed) != 1 or len(lengths) != 1:
            return [arrays]
        size, length = fixed.pop(), lengths.pop()
        if not isinstance(size, int) or not length or size < 1 or length % size:
            return [arrays]
        return [
            {name: array[start : start + size] for name, array in arrays.items()}
            for start in range(0, length, size)
        ]


class OnnxModel(Model):
    """Calls ``f(session, inputs)`` with an `OnnxSession`."""

    _function: Callable[..., Any]
    _session: OnnxSession

    def load(self, path: str) -> None:
        """Load the function and the graph.

        Raises:
            ImportError: onnxruntime or a package that the function needs is not installed.
            Exception: ONNX Runtime's, when it cannot run the graph.
        """
        self._function = load_function(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count(os.environ)
        available = onnxruntime.get_available_providers()
        session = onnxruntime.InferenceSession(
            str(pathlib.Path(path) / ONNX_MODEL_FILE),
            options,
            providers=[provider for provider in _PROVIDERS if provider in available],
        )
        self._session = OnnxSession(session)

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it."""
        return self._function(self._session, inputs)
