"""Local dry run of a prediction function on a query, as a model container would call it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import cloudpickle
import numpy as np

from clipper.admin.names import canonical_input_type
from clipper.datatypes import InputType

_INVALID_KEY = "Invalid input type or JSON key"
_INVALID_TYPE = "Invalid input type"
_NOT_RELOADED = "Function does not properly serialize and reload"

_ELEMENT_TYPES: dict[InputType, tuple[type, ...]] = {
    InputType.BYTES: (bytes,),
    InputType.STRINGS: (str,),
    InputType.INTEGERS: (int, np.integer),
    InputType.FLOATS: (int, float, np.integer, np.floating),
    InputType.DOUBLES: (int, float, np.integer, np.floating),
}


def dry_run(query: Mapping[str, Any], func: Callable[[list[Any]], Any], input_type: str) -> Any:
    """Return what ``func`` answers to the query's inputs, or a text saying what is wrong.

    Inputs reach ``func`` as in a container (design decision 19): numbers as 1-D numpy arrays of
    the declared type, strings as `str`, bytes as `bytes`.

    Raises:
        ClipperException: unknown input type.
    """
    kind = InputType(canonical_input_type(input_type))
    inputs = _inputs_of(query, kind)
    if inputs is None:
        return _INVALID_KEY
    if not all(_has_type(one, kind) for one in inputs):
        return _INVALID_TYPE
    try:
        prepared = [_as_container_passes(one, kind) for one in inputs]
    except OverflowError:  # an integer that does not fit 32 bits
        return _INVALID_TYPE
    reloaded = cloudpickle.loads(cloudpickle.dumps(func))
    if not reloaded:
        return _NOT_RELOADED
    return reloaded(prepared)


def _inputs_of(query: Mapping[str, Any], kind: InputType) -> list[Any] | None:
    """The query's inputs as a list; None when the key is unknown or the value has no elements."""
    if "input" in query:
        inputs: Any = [query["input"]]
    elif "input_batch" in query:
        inputs = query["input_batch"]
    else:
        return None
    if not _is_sequence(inputs):
        return None
    if kind.numpy_dtype is not None and not all(_is_sequence(one) for one in inputs):
        return None
    return list(inputs)


def _is_sequence(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def _has_type(one: Any, kind: InputType) -> bool:
    wanted = _ELEMENT_TYPES[kind]
    elements = [one] if kind.numpy_dtype is None else one
    return all(isinstance(e, wanted) and not isinstance(e, bool) for e in elements)


def _as_container_passes(one: Any, kind: InputType) -> Any:
    dtype = kind.numpy_dtype
    return one if dtype is None else np.array(list(one), dtype=dtype)
