"""JSON request bodies read with the original's error texts (interface spec §2.5 and §3.1).

Slow path only: operations, and predict bodies whose fault has to be named. Whatever the bytes are,
nothing but `JsonFault` leaves this module. A fault starts as a bare detail; `fault` or `expecting`
wraps it as ``Error parsing JSON: <detail>. Expected JSON schema: <schema>``.

Stricter than Python's `json`: NaN and Infinity, numbers beyond a double, lone surrogates (no UTF-8
text can hold them) and duplicate keys (two readers would disagree about their value) are faults.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

from clipper.errors import JsonFault

NOT_AN_OBJECT = "Can only get key-value pair from an object"
NO_INPUT = "JSON object does not have required keys input or input_batch"

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)

JsonObject = dict[str, Any]


def fault(detail: str, schema: str) -> JsonFault:
    """Return the fault with the original's prefix and suffix around ``detail``."""
    return JsonFault(f"Error parsing JSON: {detail}. Expected JSON schema: {schema}")


@contextlib.contextmanager
def expecting(schema: str) -> Iterator[None]:
    """Wrap the bare faults raised inside as `fault` does. Not to be nested."""
    try:
        yield
    except JsonFault as bare:
        raise fault(bare.msg, schema) from bare


def parse_json(body: bytes) -> object:
    """Return the value that ``body`` holds.

    Raises:
        JsonFault: bare, ``JSON parse error: <text> (offset <byte offset>)`` and a line feed.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _syntax_fault("Invalid UTF-8 encoding", error.start) from error
    value = _parse_text(text)
    _reject_lone_surrogates(text, value)
    return value


def _parse_text(text: str) -> object:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _syntax_fault(error.msg, len(text[: error.pos].encode())) from error
    except RecursionError as error:
        raise _syntax_fault("The document is nested too deeply", 0) from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise _syntax_fault("Number too big", 0) from error


def _reject_constant(name: str) -> float:
    raise JsonFault(f"JSON parse error: {name} is not a JSON value (offset 0)\n")


def _finite_float(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise JsonFault("JSON parse error: Number too big to be stored in double (offset 0)\n")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> JsonObject:
    result: JsonObject = {}
    for key, value in pairs:
        if key in result:
            raise JsonFault(f"JSON object has the key {_printable(key)} more than once")
        result[key] = value
    return result


_DECODER = json.JSONDecoder(
    parse_constant=_reject_constant, parse_float=_finite_float, object_pairs_hook=_unique_keys
)


def _syntax_fault(parser_text: str, offset: int) -> JsonFault:
    return JsonFault(f"JSON parse error: {parser_text} (offset {offset})\n")


def _reject_lone_surrogates(text: str, value: object) -> None:
    """Surrogates can only come from escapes, so text without one is not looked at again."""
    offset = text.lower().find("\\ud")
    if offset < 0:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise _syntax_fault("The document is nested too deeply", 0) from error
    except UnicodeEncodeError as error:
        raise _syntax_fault(
            "The surrogate pair in string is invalid", len(text[:offset].encode())
        ) from error


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def parse_object(body: bytes, schema: str) -> JsonObject:
    """Return the object that ``body`` holds.

    Raises:
        JsonFault: wrapped with ``schema``.
    """
    with expecting(schema):
        return require_object(parse_json(body))


def require_object(value: object) -> JsonObject:
    """Return ``value`` if it is an object; a bare `JsonFault` otherwise."""
    if not isinstance(value, dict):
        raise JsonFault(NOT_AN_OBJECT)
    return value


def json_type_name(value: object) -> str:
    """Return the original's name of a parsed value's type: ``Null``, ``False``, ``Number`` …"""
    if value is None or isinstance(value, bool):
        return {None: "Null", False: "False", True: "True"}[value]
    if isinstance(value, str):
        return "String"
    if isinstance(value, (int, float)):
        return "Number"
    return "Object" if isinstance(value, dict) else "Array"


def key_type_fault(key: str, expected: str, value: object) -> JsonFault:
    """Return the bare fault for a key's wrong type. The blank before "but" is missing by design.

    Args:
        key: the key at fault.
        expected: the original's name of the type that was wanted.
        value: what was found.
    """
    found = json_type_name(value)
    return JsonFault(
        f"Type mismatch! JSON key {key} expected type {expected}but found type {found}"
    )


def element_type_fault(value: object, expected: str) -> JsonFault:
    """Return the bare fault for an array's element: ``Array input of type … is not of type …``."""
    return JsonFault(f"Array input of type {json_type_name(value)} is not of type {expected}")


def datum_type_fault(value: object, expected: str) -> JsonFault:
    """Return the bare fault ``PredictionData of type … is not of type …``.

    The original uses it for integers and for base64 strings (``base64-encoded string``).
    """
    return JsonFault(f"PredictionData of type {json_type_name(value)} is not of type {expected}")


def require(obj: JsonObject, key: str) -> object:
    """Return the value of ``key``; the bare fault of a missing key otherwise."""
    if key not in obj:
        raise JsonFault(f"JSON object does not have required key: {key}")
    return obj[key]


def require_string(obj: JsonObject, key: str) -> str:
    """Return the string at ``key``, or raise a bare `JsonFault`."""
    value = require(obj, key)
    if not isinstance(value, str):
        raise key_type_fault(key, "String", value)
    return value


def require_bool(obj: JsonObject, key: str) -> bool:
    """Return the boolean at ``key``, or raise a bare `JsonFault`."""
    value = require(obj, key)
    if not isinstance(value, bool):
        found = json_type_name(value)
        raise JsonFault(f"Type mismatch! JSON key {key} expected type bool but found type {found}")
    return value


def require_int(obj: JsonObject, key: str) -> int:
    """Return the int32 at ``key``, or raise a bare `JsonFault`; true and 1.0 are no integers."""
    return _integer(require(obj, key), _INT32, "int")


def require_int64(obj: JsonObject, key: str) -> int:
    """Return the int64 at ``key``, or raise a bare `JsonFault`; true and 1.0 are no integers."""
    return _integer(require(obj, key), _INT64, "long")


def _integer(value: object, bounds: range, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in bounds:
        raise datum_type_fault(value, name)
    return value


def require_number(obj: JsonObject, key: str) -> float:
    """Return the number at ``key`` as a float, or raise a bare `JsonFault`."""
    value = require(obj, key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise key_type_fault(key, "Number", value)
    try:
        return float(value)
    except OverflowError as error:
        raise JsonFault(f"The number at JSON key {key} does not fit a double") from error


def require_string_array(obj: JsonObject, key: str) -> list[str]:
    """Return the list of strings at ``key``, or raise a bare `JsonFault`."""
    value = require(obj, key)
    if not isinstance(value, list):
        raise key_type_fault(key, "Array", value)
    for element in value:
        if not isinstance(element, str):
            raise element_type_fault(element, "string")
    return value
