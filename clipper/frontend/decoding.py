"""Predict and update bodies → packed inputs.

The fast path decodes and checks a body in one pass of msgspec's C code. Whatever it refuses goes
through `slow_object` and friends, which name the fault with the original's texts (spec §2.5).
"""

from __future__ import annotations

import array
import binascii
import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from clipper import jsonfaults
from clipper.datatypes import InputType
from clipper.errors import JsonFault

_FLOAT32_MAX = 3.40282356e38
"""A little above the largest float32, so that its decimal text from numpy is not refused."""

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

Double = float
Float = Annotated[float, Meta(ge=-_FLOAT32_MAX, le=_FLOAT32_MAX)]
Int = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class _Doubles(msgspec.Struct):
    input: list[Double] | UnsetType = UNSET
    input_batch: list[list[Double]] | UnsetType = UNSET
    version: str | UnsetType = UNSET


class _Floats(msgspec.Struct):
    input: list[Float] | UnsetType = UNSET
    input_batch: list[list[Float]] | UnsetType = UNSET
    version: str | UnsetType = UNSET


class _Integers(msgspec.Struct):
    input: list[Int] | UnsetType = UNSET
    input_batch: list[list[Int]] | UnsetType = UNSET
    version: str | UnsetType = UNSET


class _Text(msgspec.Struct):
    input: str | UnsetType = UNSET
    input_batch: list[str] | UnsetType = UNSET
    version: str | UnsetType = UNSET


class PredictBody(NamedTuple):
    """A decoded body: packed inputs and the version asked for."""

    inputs: list[bytes]
    version: str | None


def _numeric_packer(typecode: str) -> Callable[[Any], bytes]:
    if sys.byteorder == "little":
        return lambda values: array.array(typecode, values).tobytes()

    def pack_swapped(values: Any) -> bytes:
        packed = array.array(typecode, values)
        packed.byteswap()
        return packed.tobytes()

    return pack_swapped


def _pack_base64(text: str) -> bytes:
    """Decode base64 with optional padding; raises binascii.Error for anything else."""
    if len(text) % 4:
        text += "=" * (-len(text) % 4)
    return binascii.a2b_base64(text.encode("ascii", "replace"), strict_mode=True)


class _Kind(NamedTuple):
    decode: Callable[[bytes], Any]
    pack: Callable[[Any], bytes]
    element: str
    """The original's name of the element type in error texts."""


_KINDS = {
    InputType.DOUBLES: _Kind(msgspec.json.Decoder(_Doubles).decode, _numeric_packer("d"), "double"),
    InputType.FLOATS: _Kind(msgspec.json.Decoder(_Floats).decode, _numeric_packer("f"), "float"),
    InputType.INTEGERS: _Kind(msgspec.json.Decoder(_Integers).decode, _numeric_packer("i"), "int"),
    InputType.BYTES: _Kind(
        msgspec.json.Decoder(_Text).decode, _pack_base64, "base64-encoded string"
    ),
    InputType.STRINGS: _Kind(msgspec.json.Decoder(_Text).decode, str.encode, "string"),
}


def decode_predict(input_type: InputType, body: bytes) -> PredictBody | None:
    """Decode a body, or return None for any that is not plainly right."""
    kind = _KINDS[input_type]
    try:
        decoded = kind.decode(body)
        if decoded.input is not UNSET:
            inputs = [kind.pack(decoded.input)]
        elif decoded.input_batch is not UNSET:
            inputs = [kind.pack(item) for item in decoded.input_batch]
        else:
            return None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return PredictBody(inputs, None if decoded.version is UNSET else decoded.version)


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
        return [_pack_batch_item(item, input_type) for item in batch]


def pack_input(value: Any, input_type: InputType, key: str = "input") -> bytes:
    """Pack one input.

    Raises:
        JsonFault: bare; the value is not of the type.
    """
    expected = "Array" if input_type.numpy_dtype else "String"
    if not isinstance(value, list if input_type.numpy_dtype else str):
        raise jsonfaults.key_type_fault(key, expected, value)
    return _pack(value, input_type)


def _pack_batch_item(value: Any, input_type: InputType) -> bytes:
    if input_type.numpy_dtype and not isinstance(value, list):
        raise jsonfaults.element_type_fault(value, "array")
    if input_type is InputType.BYTES and not isinstance(value, str):
        raise jsonfaults.datum_type_fault(value, _KINDS[input_type].element)
    if input_type is InputType.STRINGS and not isinstance(value, str):
        raise jsonfaults.element_type_fault(value, "string")
    return _pack(value, input_type)


def _pack(value: Any, input_type: InputType) -> bytes:
    kind = _KINDS[input_type]
    if input_type.numpy_dtype:
        for element in value:
            if not _fits(element, input_type):
                raise jsonfaults.element_type_fault(element, kind.element)
    try:
        return kind.pack(value)
    except binascii.Error as error:
        raise JsonFault(f"The input is not base64-encoded: {error}") from error
    except (OverflowError, UnicodeError, ValueError) as error:
        raise JsonFault(f"The input cannot be encoded as {input_type}: {error}") from error


def _fits(element: Any, input_type: InputType) -> bool:
    if isinstance(element, bool) or not isinstance(element, (int, float)):
        return False
    if input_type is InputType.INTEGERS:
        return isinstance(element, int) and -(2**31) <= element < 2**31
    return input_type is not InputType.FLOATS or -_FLOAT32_MAX <= element <= _FLOAT32_MAX


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
