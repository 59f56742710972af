"""Does a probe input have the model's input type? Found out at registration, not at deployment."""

from __future__ import annotations

import base64
import binascii
import sys

from clipper.datatypes import InputType
from clipper.errors import InvalidRequest

_LARGEST_FLOAT32 = 3.4028234663852886e38

_WANTED = {
    InputType.BYTES: "a base64 string",
    InputType.STRINGS: "a string",
    InputType.INTEGERS: "an array of 32-bit integers",
    InputType.FLOATS: "an array of 32-bit floats",
    InputType.DOUBLES: "an array of numbers",
}


def check_probe_input(probe: object, input_type: InputType) -> None:
    """Accept one input of ``input_type`` in the form that predict takes (spec §2.2).

    Raises:
        InvalidRequest: it is none.
    """
    if not _fits(probe, input_type):
        raise InvalidRequest(
            f"probe_input must be one input of type '{input_type}': {_WANTED[input_type]}"
        )


def _fits(probe: object, input_type: InputType) -> bool:
    if input_type is InputType.STRINGS:
        return isinstance(probe, str)
    if input_type is InputType.BYTES:
        return isinstance(probe, str) and _is_base64(probe)
    return isinstance(probe, list) and all(_number_fits(item, input_type) for item in probe)


def _number_fits(item: object, input_type: InputType) -> bool:
    if isinstance(item, bool) or not isinstance(item, (int, float)):
        return False
    if input_type is InputType.INTEGERS:
        return isinstance(item, int) and -(2**31) <= item < 2**31
    largest = _LARGEST_FLOAT32 if input_type is InputType.FLOATS else sys.float_info.max
    return -largest <= item <= largest


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
