"""What a model is to its container, and how its results become output texts (spec §8.5, §9.3).

This file knows neither the wire nor threads.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard, cast

import msgspec
import numpy as np

from clipper.errors import ModelError
from clipper.rpc.codec import InputBatch

MAX_ERROR_CHARS = 500


class Model(abc.ABC):
    """One loaded model version. The runtime calls every method from the process's main thread."""

    def load(self, path: str) -> None:  # noqa: B027 - a model without files needs no load
        """Load the model's files from the directory ``path``; called once, before any batch.

        Raises:
            ImportError: a package is missing; the container then exits with status 3.
        """

    @abc.abstractmethod
    def predict_batch(self, inputs: InputBatch) -> Sequence[object]:
        """Return one output per input, in order.

        ``inputs`` is a list of `str`, `bytes` or 1-D numpy arrays, and belongs to the model.
        Whatever is raised is reported to the callers of this batch; the container lives on.
        """


def collect_outputs(result: object, expected: int) -> list[object]:
    """Return the outputs in the whole result of one `predict_batch` call.

    Raises:
        ModelError: the result is not a collection of ``expected`` outputs (texts of spec §8.5).
    """
    if isinstance(result, str | bytes | bytearray | dict):
        raise ModelError("Model did not return a list")
    try:
        iterator = iter(cast("Iterable[object]", result))
    except TypeError as error:
        raise ModelError("Model did not return a list") from error
    outputs = result.tolist() if _is_plain_array(result) else list(iterator)
    if len(outputs) != expected:
        raise ModelError(
            f"Expected model to return {expected} outputs, found {len(outputs)} outputs"
        )
    return outputs


def _is_plain_array(result: object) -> TypeGuard[np.ndarray[Any, Any]]:
    """Whether these are numbers whose text is the same as Python's own, which come out faster."""
    if type(result) is not np.ndarray or result.ndim != 1:
        return False
    return result.dtype.kind in "iub" or result.dtype == np.float64


_PLAIN = (str, bytes, int, float, np.generic)
"""Outputs whose text does not depend on numpy's print options, which are slow to set."""
_NUMBERS = frozenset((int, float, bool))


def encode_outputs(outputs: Sequence[object]) -> list[bytes | str]:
    """Return each output as UTF-8 text in bytes, or as the `str` that says why it has none.

    `str` and `bytes` stay as they are, all else goes through `str()`. Lists of numpy numbers print
    as before numpy 2, ``[1.0]`` and not ``[np.float64(1.0)]``: clients read JSON.
    """
    if _NUMBERS.issuperset(map(type, outputs)):
        with contextlib.suppress(ValueError):  # an `int` of thousands of digits fails alone
            return _number_texts(outputs)
    if all(isinstance(output, _PLAIN) for output in outputs):
        return [_encode(output) for output in outputs]
    with _plain_numpy_scalars():
        return [_encode(output) for output in outputs]


def _number_texts(numbers: Sequence[object]) -> list[bytes | str]:
    """Return the `str` of numbers from their JSON: the digits of a float in a tenth of the time.

    The model waits for this between two batches. JSON differs where there is an exponent, infinity
    or NaN (``null``), a `bool`, or a number below 0.0001, which `str` gives an exponent.
    """
    json = msgspec.json.encode(numbers)
    if not numbers or b"e" in json or b"n" in json or b"0.0000" in json:
        return [str(number).encode() for number in numbers]
    return [*json[1:-1].split(b",")]


def _encode(output: object) -> bytes | str:
    try:
        if isinstance(output, bytes):
            output.decode()
            return bytes(output)
        return str(output).encode()
    except UnicodeError as error:
        return _sendable(f"Output is not text in UTF-8: {error}")
    except BaseException as error:  # whatever the output's own __str__ raises
        return describe_error(error)


def _plain_numpy_scalars() -> contextlib.AbstractContextManager[object]:
    if int(np.__version__.split(".")[0]) < 2:
        return contextlib.nullcontext()
    return np.printoptions(legacy="1.25")


def describe_error(error: BaseException) -> str:
    """Return ``TypeName: message`` in at most `MAX_ERROR_CHARS` characters that UTF-8 can carry."""
    try:
        message = str(error)
    except Exception:  # a broken __str__ must not hide the error itself
        message = ""
    if isinstance(error, ModelError):
        text = message
    else:
        text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return _sendable(text)


def _sendable(text: str) -> str:
    return text[:MAX_ERROR_CHARS].encode("utf-8", "replace").decode()
