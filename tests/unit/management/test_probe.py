"""A probe input is accepted exactly when predict would take it as an input."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipper.datatypes import InputType
from clipper.errors import InvalidRequest, JsonFault
from clipper.frontend import decoding
from clipper.inputs import pack_input
from clipper.management.probe import check_probe_input

LARGEST_FLOAT32 = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]


def registered(probe: Any, input_type: InputType) -> bool:
    try:
        check_probe_input(probe, input_type)
    except InvalidRequest:
        return False
    return True


def predicted(probe: Any, input_type: InputType) -> bool:
    body = json.dumps({"input": probe}).encode()
    if decoding.decode_predict(input_type, body) is not None:
        return True
    try:
        value = decoding.slow_object(body, decoding.PREDICT_SCHEMA)
        decoding.slow_inputs(value, input_type)
    except JsonFault:
        return False
    return True


@pytest.mark.parametrize(
    ("input_type", "probe", "accepted"),
    [
        (InputType.FLOATS, [LARGEST_FLOAT32, -LARGEST_FLOAT32], True),
        (InputType.FLOATS, [3.4028235e38], True),  # the largest float32 as numpy writes it
        (InputType.FLOATS, [3.4028236e38], False),
        (InputType.DOUBLES, [1.7976931348623157e308], True),
        (InputType.DOUBLES, [10**400], False),
        (InputType.INTEGERS, [2**31 - 1, -(2**31)], True),
        (InputType.INTEGERS, [2**31], False),
        (InputType.BYTES, "aGVsbG8", True),
        (InputType.BYTES, "aGV sbG8=", False),
    ],
)
def test_registration_and_predict_agree_at_the_limits(
    input_type: InputType, probe: Any, accepted: bool
) -> None:
    assert registered(probe, input_type) is accepted
    assert predicted(probe, input_type) is accepted


@pytest.mark.parametrize("input_type", [InputType.FLOATS, InputType.DOUBLES])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_packed_nowhere(input_type: InputType, value: float) -> None:
    assert not registered([value], input_type)
    with pytest.raises(JsonFault):
        pack_input([value], input_type)


finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=8),
    st.lists(st.one_of(finite, st.integers(), st.floats(3.4e38, 3.41e38), st.booleans())),
    st.lists(st.integers(-(2**31) - 1, 2**31)),
)


@settings(max_examples=300, deadline=None)
@given(values, st.sampled_from(list(InputType)))
def test_registration_and_predict_agree(probe: Any, input_type: InputType) -> None:
    assert registered(probe, input_type) is predicted(probe, input_type)
