"""One input, as JSON has it → the packed bytes in which it travels to a model (spec §2.2).

Predictions, feedback and probe inputs are all packed here, so that they take the same values.
"""

from __future__ import annotations

import binascii
import functools
import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from clipper import jsonfaults
from clipper.datatypes import InputType
from clipper.errors import JsonFault

FLOAT32_MAX = 3.40282356e38
"""A little above the largest float32, so that its decimal text from numpy is not refused."""

INT32 = range(-(2**31), 2**31)


@functools.lru_cache(maxsize=1024)
def _layout(code: str, count: int) -> struct.Struct:
    return struct.Struct(f"<{count}{code}")


def _numeric_packer(code: str) -> Callable[[Any], bytes]:
    return lambda values: _layout(code, len(values)).pack(*values)


def _pack_base64(text: str) -> bytes:
    """Decode base64 with optional padding; raises binascii.Error for anything else."""
    if len(text) % 4:
        text += "=" * (-len(text) % 4)
    return binascii.a2b_base64(text.encode("ascii", "replace"), strict_mode=True)


class _Kind(NamedTuple):
    pack: Callable[[Any], bytes]
    element: str
    """The original's name of the element type in error texts."""


_KINDS = {
    InputType.DOUBLES: _Kind(_numeric_packer("d"), "double"),
    InputType.FLOATS: _Kind(_numeric_packer("f"), "float"),
    InputType.INTEGERS: _Kind(_numeric_packer("i"), "int"),
    InputType.BYTES: _Kind(_pack_base64, "base64-encoded string"),
    InputType.STRINGS: _Kind(str.encode, "string"),
}


def packer(input_type: InputType) -> Callable[[Any], bytes]:
    """Return the function that packs inputs whose elements are known to be of the type.

    It raises ValueError, of which binascii.Error is one, for text that cannot be encoded.
    """
    return _KINDS[input_type].pack


def pack_input(value: Any, input_type: InputType, key: str = "input") -> bytes:
    """Pack one input.

    Args:
        value: as JSON has it.
        input_type: what it must be.
        key: where it stood, for the text of a fault.

    Raises:
        JsonFault: bare; the value is not of the type.
    """
    expected = "Array" if input_type.numpy_dtype else "String"
    if not isinstance(value, list if input_type.numpy_dtype else str):
        raise jsonfaults.key_type_fault(key, expected, value)
    return _pack(value, input_type)


def pack_batch_item(value: Any, input_type: InputType) -> bytes:
    """Pack one input of a batch; its faults have texts of their own.

    Raises:
        JsonFault: bare; the value is not of the type.
    """
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
    except (OverflowError, UnicodeError, ValueError, struct.error) as error:
        raise JsonFault(f"The input cannot be encoded as {input_type}: {error}") from error


def _fits(element: Any, input_type: InputType) -> bool:
    if isinstance(element, bool) or not isinstance(element, (int, float)):
        return False
    if isinstance(element, float) and not math.isfinite(element):
        return False
    if input_type is InputType.INTEGERS:
        return isinstance(element, int) and element in INT32
    return input_type is not InputType.FLOATS or -FLOAT32_MAX <= element <= FLOAT32_MAX
