"""Predict and update bodies → packed inputs.

The fast path decodes and checks a body in one pass of msgspec's C code. Whatever it refuses goes
through `slow_object` and friends, which name the fault with the original's texts (spec §2.5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from clipper import jsonfaults
from clipper.datatypes import InputType
from clipper.errors import JsonFault
from clipper.inputs import FLOAT32_MAX, INT32, pack_batch_item, pack_input, packer
from clipper.store.selection import APPLICATION

PREDICT_SCHEMA = """
  {
   "input" := [double] | [int] | string | [byte] | [float],
  }
"""
UPDATE_SCHEMA = """
  {
   "uid" := int,
   "input" := [double] | [int] | string | [byte] | [float],
   "label" := double
  }
"""

_LONGEST_UID = 256
_LONGEST_KEPT_BYTES = 1024
"""Longer ones would cost every miss the time to hash them."""
_MOST_KEPT = 4096
"""Of one input type: 10 MB at the very most, outside the prediction cache's capacity."""

Double = float
Float = Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
Int = Annotated[int, Meta(ge=INT32[0], le=INT32[-1])]


class _Doubles(msgspec.Struct):
    input: list[Double] | UnsetType = UNSET
    input_batch: list[list[Double]] | UnsetType = UNSET
    version: str | UnsetType = UNSET
    uid: int | str | UnsetType = UNSET


class _Floats(msgspec.Struct):
    input: list[Float] | UnsetType = UNSET
    input_batch: list[list[Float]] | UnsetType = UNSET
    version: str | UnsetType = UNSET
    uid: int | str | UnsetType = UNSET


class _Integers(msgspec.Struct):
    input: list[Int] | UnsetType = UNSET
    input_batch: list[list[Int]] | UnsetType = UNSET
    version: str | UnsetType = UNSET
    uid: int | str | UnsetType = UNSET


class _Text(msgspec.Struct):
    input: str | UnsetType = UNSET
    input_batch: list[str] | UnsetType = UNSET
    version: str | UnsetType = UNSET
    uid: int | str | UnsetType = UNSET


class _Kind(NamedTuple):
    decode: Callable[[bytes], Any]
    pack: Callable[[Any], bytes]


_BODIES = {
    InputType.DOUBLES: _Doubles,
    InputType.FLOATS: _Floats,
    InputType.INTEGERS: _Integers,
    InputType.BYTES: _Text,
    InputType.STRINGS: _Text,
}
_KINDS = {
    input_type: _Kind(msgspec.json.Decoder(body).decode, packer(input_type))
    for input_type, body in _BODIES.items()
}


class BodyCache:
    """Inputs of bodies that were decoded before: the same bytes mean the same input.

    It is for bodies that name nothing but one input, and of those for the ones whose output was in
    the prediction cache: they come again. Others would only fill it. Belongs to the event loop's
    thread.
    """

    def __init__(self) -> None:
        self._inputs: dict[InputType, dict[bytes, bytes]] = {kind: {} for kind in InputType}

    def get(self, input_type: InputType, body: bytes) -> bytes | None:
        """Return the packed input of a body, if that is known."""
        if len(body) > _LONGEST_KEPT_BYTES:
            return None
        return self._inputs[input_type].get(body)

    def keep(self, input_type: InputType, body: bytes, input_bytes: bytes) -> None:
        """Remember what a body was decoded to."""
        if len(body) > _LONGEST_KEPT_BYTES:
            return
        inputs = self._inputs[input_type]
        if len(inputs) >= _MOST_KEPT:
            inputs.clear()
        inputs[body] = input_bytes


def canonical_uid(value: object) -> str:
    """Return a user id from JSON as text; 0 is nobody in particular, as in the original.

    Raises:
        ValueError: it is neither an integer nor a string of reasonable length.
    """
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_UID:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
        return str(value) if value else APPLICATION
    raise ValueError(f"expected an integer, or a string of 1 to {_LONGEST_UID} characters.")


def decode_predict(
    input_type: InputType, body: bytes
) -> tuple[list[bytes], str | None, str] | None:
    """Return packed inputs, version and user asked for, or None for a body not plainly right."""
    kind = _KINDS[input_type]
    try:
        decoded = kind.decode(body)
        if decoded.input is not UNSET:
            inputs = [kind.pack(decoded.input)]
        elif decoded.input_batch is not UNSET:
            inputs = [kind.pack(item) for item in decoded.input_batch]
        else:
            return None
        if decoded.version is UNSET and decoded.uid is UNSET:
            return inputs, None, APPLICATION
        uid = APPLICATION if decoded.uid is UNSET else canonical_uid(decoded.uid)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    version = decoded.version
    return inputs, None if version is UNSET else version, uid


def slow_object(body: bytes, schema: str) -> dict[str, Any]:
    """Return the body as an object.

    Raises:
        JsonFault: it is none; the text says what was found and, mostly, where.
    """
    with jsonfaults.expecting(schema):
        value = jsonfaults.parse_json(body)
    if not isinstance(value, dict):
        raise JsonFault("JSON schema invalid")
    return value


def slow_version(body: dict[str, Any]) -> str | None:
    """Return the version asked for, if any.

    Raises:
        JsonFault: it is not a string.
    """
    version = body.get("version")
    if "version" in body and not isinstance(version, str):
        with jsonfaults.expecting(PREDICT_SCHEMA):
            raise jsonfaults.key_type_fault("version", "String", version)
    return version


def slow_uid(body: dict[str, Any]) -> str:
    """Return the user id, if any.

    Raises:
        JsonFault: it is neither an integer nor a string.
    """
    if "uid" not in body:
        return APPLICATION
    try:
        return canonical_uid(body["uid"])
    except ValueError as error:
        with jsonfaults.expecting(PREDICT_SCHEMA):
            raise JsonFault(f"uid: {error}") from error


def slow_inputs(body: dict[str, Any], input_type: InputType) -> list[bytes]:
    """Return the packed inputs.

    Raises:
        JsonFault: names the first fault in the order that the original finds them.
    """
    with jsonfaults.expecting(PREDICT_SCHEMA):
        if "input" in body:
            return [pack_input(body["input"], input_type)]
        if "input_batch" not in body:
            raise JsonFault(jsonfaults.NO_INPUT)
        batch = body["input_batch"]
        if not isinstance(batch, list):
            raise jsonfaults.key_type_fault("input_batch", "Array", batch)
        return [pack_batch_item(item, input_type) for item in batch]


def decode_update(body: bytes, input_type: InputType) -> tuple[int, bytes, float]:
    """Return uid, packed input and label of a feedback body (spec §2.7).

    Raises:
        JsonFault: a key is missing or of the wrong type.
    """
    value = slow_object(body, UPDATE_SCHEMA)
    with jsonfaults.expecting(UPDATE_SCHEMA):
        uid = jsonfaults.require_int64(value, "uid")
        input_bytes = pack_input(jsonfaults.require(value, "input"), input_type)
        return uid, input_bytes, jsonfaults.require_number(value, "label")
