"""A PyTorch module with a pickled prediction function (spec §9.3)."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import cloudpickle
import torch

from clipper.artifacts import PYTORCH_MODEL_FILE, PYTORCH_WEIGHTS_FILE
from clipper.container.frameworks.python_closure import load_function
from clipper.container.frameworks.threads import thread_count
from clipper.container.model import Model
from clipper.rpc.codec import InputBatch


class PytorchModel(Model):
    """Calls ``f(module, inputs)``.

    The module is in evaluation mode. Its parameters need no gradients, so that results can be
    turned into arrays and no memory goes into a backward pass; gradients of inputs still work.
    """

    _function: Callable[..., Any]
    _module: torch.nn.Module

    def load(self, path: str) -> None:
        """Load the function, the module and its weights: to where they were, or to the CPU.

        Raises:
            ImportError: torch or a package that the function needs is not installed.
            RuntimeError: the weights are not those of this module.
        """
        torch.set_num_threads(thread_count(os.environ))
        self._function = load_function(path)
        directory = pathlib.Path(path)
        module: torch.nn.Module = cloudpickle.loads((directory / PYTORCH_MODEL_FILE).read_bytes())
        weights = torch.load(
            directory / PYTORCH_WEIGHTS_FILE,
            map_location=None if torch.cuda.is_available() else "cpu",
            weights_only=False,  # model data is code in Clipper, as the module beside it
        )
        module.load_state_dict(weights, assign=True)
        self._module = module.eval().requires_grad_(False)

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it."""
        return self._function(self._module, inputs)
