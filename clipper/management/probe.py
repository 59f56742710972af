"""Does a probe input have the model's input type? Found out at registration, not at deployment."""

from __future__ import annotations

from clipper.datatypes import InputType
from clipper.errors import InvalidRequest, JsonFault
from clipper.inputs import pack_input

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
    try:
        pack_input(probe, input_type)
    except JsonFault as fault:
        raise InvalidRequest(
            f"probe_input must be one input of type '{input_type}': {_WANTED[input_type]}"
        ) from fault
