"""Packing of a batch's inputs and outputs into single buffers, and back.

Many values travel as one `bytes` and a list of sizes, so that nothing is built per input but the
value that user code sees (design decision 2). Needs numpy and the generated messages only.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from clipper.datatypes import InputType
from clipper.errors import ClipperException
from clipper.rpc.pb import model_container_pb2 as pb

_TO_WIRE = {
    InputType.BYTES: pb.INPUT_TYPE_BYTES,
    InputType.INTEGERS: pb.INPUT_TYPE_INTEGERS,
    InputType.FLOATS: pb.INPUT_TYPE_FLOATS,
    InputType.DOUBLES: pb.INPUT_TYPE_DOUBLES,
    InputType.STRINGS: pb.INPUT_TYPE_STRINGS,
}
_FROM_WIRE = {int(wire): input_type for input_type, wire in _TO_WIRE.items()}

Matrix: TypeAlias = npt.NDArray[Any]


class WireFault(ClipperException):
    """A message contradicts itself or the contract; the text says how."""


class InputBatch(list[Any]):
    """The inputs of one batch as user code sees them (design decision 19).

    A list of `str`, of `bytes`, or of writable 1-D numpy arrays. Numeric inputs of equal length lie
    in one matrix, which ``np.asarray(batch)`` returns without copying.
    """

    def __init__(self, inputs: Iterable[Any] = (), matrix: Matrix | None = None) -> None:
        super().__init__(inputs)
        self._matrix = matrix
        self._rows = tuple(self) if matrix is not None else ()

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Return the batch as an array; numpy calls this.

        Raises:
            ValueError: the inputs have unequal lengths, or ``copy=False`` cannot be honoured.
        """
        matrix = self._matrix if self._is_untouched() else None
        if matrix is not None and (dtype is None or matrix.dtype == dtype):
            return matrix.copy() if copy else matrix
        if copy is False:
            raise ValueError("Unable to avoid copy while creating an array from this batch")
        return np.array(list(self) if matrix is None else matrix, dtype=dtype)

    def _is_untouched(self) -> bool:
        """Whether the list still holds exactly the rows of the matrix: user code may edit it."""
        return len(self) == len(self._rows) and all(map(operator.is_, self, self._rows))


def input_type_to_wire(input_type: InputType) -> pb.InputType:
    """Return the wire number of ``input_type``."""
    return _TO_WIRE[input_type]


def input_type_from_wire(number: int) -> InputType:
    """Return the input type of a wire number.

    Raises:
        WireFault: the number is not an input type.
    """
    found = _FROM_WIRE.get(number)
    if found is None:
        raise WireFault(f"{number} is not an input type of the wire contract")
    return found


def join_inputs(inputs: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """Return all inputs in one buffer, and the size of each in bytes."""
    return b"".join(inputs), list(map(len, inputs))


def split_inputs(input_type: InputType, data: bytes, sizes: Sequence[int]) -> InputBatch:
    """Return the inputs that ``data`` holds, copied once as a whole.

    Raises:
        WireFault: sizes and data disagree, or a string is not UTF-8.
    """
    _check_total(data, sizes)
    dtype = input_type.numpy_dtype
    if dtype is not None:
        return _split_numbers(np.dtype(dtype), data, sizes)
    if input_type is InputType.STRINGS:
        return InputBatch(_split_strings(data, sizes))
    return InputBatch(split_outputs(data, sizes))


def split_outputs(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Return the values that ``data`` holds, one after the other.

    Raises:
        WireFault: sizes and data disagree.
    """
    _check_total(data, sizes)
    return [data[start:end] for start, end in _spans(sizes)]


def _check_total(data: bytes, sizes: Sequence[int]) -> None:
    total = sum(sizes)
    if total != len(data):
        raise WireFault(f"Sizes add up to {total} bytes, but the data has {len(data)}")


def _spans(sizes: Sequence[int]) -> Iterable[tuple[int, int]]:
    return itertools.pairwise(itertools.accumulate(sizes, initial=0))


def _split_numbers(dtype: np.dtype[Any], data: bytes, sizes: Sequence[int]) -> InputBatch:
    item = dtype.itemsize
    bad = next((size for size in sizes if size % item), None)
    if bad is not None:
        raise WireFault(f"An input of {bad} bytes is not a whole number of {item}-byte values")
    # A bytearray makes the arrays writable and shares nothing with the message.
    flat = np.frombuffer(bytearray(data), dtype)
    if sizes and len(set(sizes)) == 1:
        matrix = flat.reshape(len(sizes), sizes[0] // item)
        return InputBatch(matrix, matrix)
    return InputBatch(flat[start // item : end // item] for start, end in _spans(sizes))


def _split_strings(data: bytes, sizes: Sequence[int]) -> list[str]:
    try:
        if data.isascii():
            text = data.decode("ascii")
            return [text[start:end] for start, end in _spans(sizes)]
        return [data[start:end].decode() for start, end in _spans(sizes)]
    except UnicodeDecodeError as error:
        raise WireFault(f"A string input is not UTF-8: {error}") from error
