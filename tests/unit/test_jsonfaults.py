"""Faulty JSON bodies and the original's words for them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipper import jsonfaults
from clipper.errors import JsonFault

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)
READERS = [
    jsonfaults.require,
    jsonfaults.require_string,
    jsonfaults.require_bool,
    jsonfaults.require_int,
    jsonfaults.require_int64,
    jsonfaults.require_number,
    jsonfaults.require_string_array,
]


def text_of(body: bytes) -> str:
    with pytest.raises(JsonFault) as caught:
        jsonfaults.parse_json(body)
    return caught.value.msg


def check_fault_or_value(read: Callable[[], object], prefix: str = "") -> None:
    text = prefix
    try:
        read()
    except JsonFault as fault:
        text = fault.msg
    assert text.startswith(prefix)
    text.encode()


@settings(deadline=None)
@given(st.binary())
def test_arbitrary_bytes_raise_nothing_but_a_fault(body: bytes) -> None:
    check_fault_or_value(lambda: jsonfaults.parse_object(body, "schema"), "Error parsing JSON: ")


@settings(deadline=None)
@given(JSON, st.integers(0, 60), st.integers(0, 255))
def test_damaged_documents_raise_nothing_but_a_fault(value: object, at: int, byte: int) -> None:
    body = bytearray(json.dumps(value).encode())
    body[at % len(body)] = byte
    check_fault_or_value(lambda: jsonfaults.parse_json(bytes(body)), "JSON ")


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b"]), JSON), st.sampled_from(READERS))
def test_readers_raise_nothing_but_a_fault(
    value: dict[str, object], reader: Callable[..., object]
) -> None:
    check_fault_or_value(lambda: reader(value, "a"))


@settings(deadline=None)
@given(JSON)
def test_what_is_json_is_read(value: object) -> None:
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        return
    assert jsonfaults.parse_json(text.encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b"NaN",
        b"[-Infinity]",
        b"1e999",
        b"9" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": 1, "a": 1}',
        b'{"\\ud800": 1, "\\ud800": 1}',
        b"\xef\xbb\xbf{}",
        b"{}x",
        b'"\x00"',
        b"01",
    ],
)
def test_nasty_bodies_are_faults(body: bytes) -> None:
    text_of(body).encode()


def test_surrogate_pairs_are_text() -> None:
    assert jsonfaults.parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_a_syntax_fault_gives_the_offset_in_bytes() -> None:
    text = text_of('{"ü": x}'.encode())
    assert text == "JSON parse error: Expecting value (offset 7)\n"
    assert text_of(b'"a\xff"') == "JSON parse error: Invalid UTF-8 encoding (offset 2)\n"


def test_faults_are_wrapped_as_the_original_wraps_them() -> None:
    with pytest.raises(JsonFault) as caught:
        jsonfaults.parse_object(b"[]", "S")
    assert caught.value.msg == (
        "Error parsing JSON: Can only get key-value pair from an object. Expected JSON schema: S"
    )
    assert jsonfaults.fault(jsonfaults.NO_INPUT, "S").msg == (
        "Error parsing JSON: JSON object does not have required keys input or input_batch. "
        "Expected JSON schema: S"
    )


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "Null"),
        (False, "False"),
        (True, "True"),
        ({}, "Object"),
        ([], "Array"),
        ("", "String"),
        (0, "Number"),
        (1.0, "Number"),
    ],
)
def test_type_names(value: object, name: str) -> None:
    assert jsonfaults.json_type_name(value) == name


@pytest.mark.parametrize(
    ("reader", "value", "text"),
    [
        (
            jsonfaults.require_string,
            1,
            "Type mismatch! JSON key k expected type Stringbut found type Number",
        ),
        (
            jsonfaults.require_string_array,
            "x",
            "Type mismatch! JSON key k expected type Arraybut found type String",
        ),
        (
            jsonfaults.require_bool,
            0,
            "Type mismatch! JSON key k expected type bool but found type Number",
        ),
        (jsonfaults.require_string_array, [1], "Array input of type Number is not of type string"),
        (jsonfaults.require_int, 1.0, "PredictionData of type Number is not of type int"),
        (jsonfaults.require_int, True, "PredictionData of type True is not of type int"),
        (jsonfaults.require_int, 2**31, "PredictionData of type Number is not of type int"),
        (
            jsonfaults.require_int64,
            -(2**63) - 1,
            "PredictionData of type Number is not of type long",
        ),
        (jsonfaults.require_number, 10**400, "The number at JSON key k does not fit a double"),
    ],
)
def test_type_texts(reader: Callable[..., object], value: object, text: str) -> None:
    with pytest.raises(JsonFault) as caught:
        reader({"k": value}, "k")
    assert caught.value.msg == text


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_key_is_named(reader: Callable[..., object]) -> None:
    with pytest.raises(JsonFault, match="JSON object does not have required key: k"):
        reader({}, "k")


def test_limits_of_integers_are_included() -> None:
    assert jsonfaults.require_int({"k": -(2**31)}, "k") == -(2**31)
    assert jsonfaults.require_int64({"k": 2**63 - 1}, "k") == 2**63 - 1
