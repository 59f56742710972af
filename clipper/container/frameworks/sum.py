"""The model that adds up its input: small, and its answers can be checked (spec §9.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from clipper.container.model import Model
from clipper.rpc.codec import InputBatch


class SumModel(Model):
    """Sum of the numbers or bytes of an input; the length of a string."""

    def predict_batch(self, inputs: InputBatch) -> list[str]:
        """Return one sum or length for each input."""
        return [str(_total(value)) for value in inputs]


def _total(value: Any) -> Any:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, np.ndarray):
        # Python numbers: no int32 overflow, and floats that add up and print as in Python.
        return sum(value.tolist())
    return sum(value)
