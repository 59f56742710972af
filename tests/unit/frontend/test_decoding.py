"""Predict and update bodies, with the original's error texts (spec §2.2, §2.5, §2.7)."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipper.datatypes import InputType
from clipper.errors import JsonFault
from clipper.frontend import decoding

DOUBLES, FLOATS, INTEGERS = InputType.DOUBLES, InputType.FLOATS, InputType.INTEGERS
BYTES, STRINGS = InputType.BYTES, InputType.STRINGS
FORMATS = {DOUBLES: "d", FLOATS: "f", INTEGERS: "i"}
FLOAT32_MAX = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]

Decoded = tuple[list[bytes], str | None]
fast = decoding.decode_predict


def slow(input_type: InputType, body: bytes) -> tuple[list[bytes], str | None, str]:
    value = decoding.slow_object(body, decoding.PREDICT_SCHEMA)
    version = decoding.slow_version(value)
    inputs = decoding.slow_inputs(value, input_type)
    return inputs, version, decoding.slow_uid(value)


def decode(input_type: InputType, body: bytes | str | dict[str, Any]) -> Decoded:
    """Decode as the endpoint does."""
    if isinstance(body, dict):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    decoded = fast(input_type, body) or slow(input_type, body)
    return decoded[:2]


def fault(read: Callable[[], object]) -> str:
    with pytest.raises(JsonFault) as caught:
        read()
    return caught.value.msg


def refused(input_type: InputType, body: bytes | str | dict[str, Any]) -> str:
    return fault(lambda: decode(input_type, body))


def wrapped(detail: str) -> str:
    return f"Error parsing JSON: {detail}. Expected JSON schema: {decoding.PREDICT_SCHEMA}"


def packed(input_type: InputType, *values: float) -> bytes:
    return struct.pack(f"<{len(values)}{FORMATS[input_type]}", *values)


@pytest.mark.parametrize("input_type", [DOUBLES, FLOATS, INTEGERS])
def test_numbers_are_packed_little_endian(input_type: InputType) -> None:
    assert decode(input_type, {"input": [1, -2, 3]}) == ([packed(input_type, 1, -2, 3)], None)
    assert decode(input_type, {"input_batch": [[1], [], [2, 3]], "version": "v"}) == (
        [packed(input_type, 1), b"", packed(input_type, 2, 3)],
        "v",
    )


@pytest.mark.parametrize("text", ["1.5", "1e0", "-0.0", "1", "12345678901234567890123", "0.1"])
def test_doubles_keep_every_bit(text: str) -> None:
    assert decode(DOUBLES, f'{{"input": [{text}]}}')[0] == [packed(DOUBLES, float(text))]


def test_floats_within_float32_range_are_rounded_to_it() -> None:
    values = [FLOAT32_MAX, -FLOAT32_MAX, 1e-50, 0.1]
    assert decode(FLOATS, {"input": values})[0] == [packed(FLOATS, *values)]


@pytest.mark.parametrize("value", [3.5e38, -3.5e38, 1e300, 10**39])
def test_floats_beyond_float32_range_are_refused(value: float) -> None:
    detail = "Array input of type Number is not of type float"
    assert refused(FLOATS, {"input": [value]}) == wrapped(detail)


@pytest.mark.parametrize("text", ["1.0", "1e0", "2147483648", "-2147483649", "1e999999", "9" * 30])
def test_what_is_no_int32_is_refused(text: str) -> None:
    body = f'{{"input": [{text}]}}'
    assert refused(INTEGERS, body).startswith("Error parsing JSON: ")
    assert decode(INTEGERS, '{"input": [2147483647, -2147483648, -0]}')


@pytest.mark.parametrize("padding", ["", "=", "=="])
def test_base64_padding_is_optional(padding: str) -> None:
    assert decode(BYTES, {"input": "YQ" + padding})[0] == [b"a"]


@pytest.mark.parametrize("text", ["Y", "Y Q=", "-_-_", "é", "====", "YQ==YQ==", "\x00", "Y=Q="])
def test_illegal_base64_is_refused(text: str) -> None:
    assert "The input is not base64-encoded: " in refused(BYTES, {"input": text})


@pytest.mark.parametrize("text", ["", "plain", "é\x00\u20ac", "\U0001f600", '"\\/\b', "\x7f"])
def test_strings_are_utf8(text: str) -> None:
    assert decode(STRINGS, {"input": text})[0] == [text.encode()]
    assert decode(STRINGS, json.dumps({"input": text}, ensure_ascii=False))[0] == [text.encode()]


@pytest.mark.parametrize("input_type", list(InputType))
def test_input_wins_over_input_batch_and_other_keys_are_ignored(input_type: InputType) -> None:
    datum: object = [] if input_type.numpy_dtype else ""
    body = {"input": datum, "input_batch": 7, "uid": 3, "x": [None, {"y": True}]}

    assert decode(input_type, body) == ([b""], None)


@pytest.mark.parametrize("input_type", list(InputType))
def test_an_empty_batch_holds_no_inputs(input_type: InputType) -> None:
    assert decode(input_type, {"input_batch": []}) == ([], None)


@pytest.mark.parametrize(
    ("input_type", "body", "detail"),
    [
        (
            DOUBLES,
            '{"input": "x"}',
            "Type mismatch! JSON key input expected type Arraybut found type String",
        ),
        (
            STRINGS,
            '{"input": [1.0]}',
            "Type mismatch! JSON key input expected type Stringbut found type Array",
        ),
        (
            BYTES,
            '{"input": null}',
            "Type mismatch! JSON key input expected type Stringbut found type Null",
        ),
        (
            DOUBLES,
            '{"input_batch": {}}',
            "Type mismatch! JSON key input_batch expected type Arraybut found type Object",
        ),
        (DOUBLES, '{"input": ["1"]}', "Array input of type String is not of type double"),
        (DOUBLES, '{"input": [null]}', "Array input of type Null is not of type double"),
        (DOUBLES, '{"input": [true]}', "Array input of type True is not of type double"),
        (FLOATS, '{"input": [false]}', "Array input of type False is not of type float"),
        (INTEGERS, '{"input": [1.0]}', "Array input of type Number is not of type int"),
        (INTEGERS, '{"input": [[1]]}', "Array input of type Array is not of type int"),
        (DOUBLES, '{"input_batch": [1.0]}', "Array input of type Number is not of type array"),
        (
            DOUBLES,
            '{"input_batch": [[1.0], ["x"]]}',
            "Array input of type String is not of type double",
        ),
        (
            BYTES,
            '{"input_batch": [1]}',
            "PredictionData of type Number is not of type base64-encoded string",
        ),
        (STRINGS, '{"input_batch": ["a", 1]}', "Array input of type Number is not of type string"),
        (
            DOUBLES,
            '{"input": [1.0], "version": 1}',
            "Type mismatch! JSON key version expected type Stringbut found type Number",
        ),
        (
            DOUBLES,
            '{"input": ["bad"], "version": null}',
            "Type mismatch! JSON key version expected type Stringbut found type Null",
        ),
        (DOUBLES, "{}", "JSON object does not have required keys input or input_batch"),
    ],
)
def test_faults_are_named_with_the_original_texts(
    input_type: InputType, body: str, detail: str
) -> None:
    assert refused(input_type, body) == wrapped(detail)


@pytest.mark.parametrize("body", ["[]", "1", '"input"', "null", "true"])
def test_a_body_that_is_no_object(body: str) -> None:
    assert refused(DOUBLES, body) == "JSON schema invalid"


@pytest.mark.parametrize(
    ("body", "offset"), [(b"", 0), (b"{", 1), (b'{"input": [1.0]} x', 17), (b"{'input': 1}", 1)]
)
def test_syntax_errors_have_an_offset(body: bytes, offset: int) -> None:
    text = refused(DOUBLES, body)
    assert text.startswith("Error parsing JSON: JSON parse error: ")
    assert f"(offset {offset})\n. Expected JSON schema: " in text


@pytest.mark.parametrize(
    "body",
    [
        '{"input": [NaN]}',
        '{"input": [Infinity]}',
        '{"input": [1e400]}',
        '{"input": [' + "9" * 400 + "]}",
        '{"input": [' + "9" * 5000 + "]}",
        '{"input": [01]}',
        '{"input": [1.]}',
        '{"input": [1,]}',
        '\ufeff{"input": [1]}',
        '{"input": ' + "[" * 100_000,
        '{"input": [1.0], "x": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}",
        '{"input": "\\ud800"}',
        '{"input": "a\tb"}',
    ],
)
@pytest.mark.parametrize("input_type", list(InputType))
def test_documents_that_no_reader_should_accept(input_type: InputType, body: str) -> None:
    assert refused(input_type, body).startswith("Error parsing JSON: ")


def test_of_two_equal_keys_the_last_counts_as_in_other_readers() -> None:
    assert decode(INTEGERS, '{"input": [1], "input": [2]}')[0] == [packed(INTEGERS, 2)]


def test_feedback_is_uid_input_and_label() -> None:
    body = b'{"uid": 7, "input": [1.5], "label": 2}'
    assert decoding.decode_update(body, DOUBLES) == (7, packed(DOUBLES, 1.5), 2.0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"uid": 7, "input": [1.5]}',
        b'{"uid": "7", "input": [1.5], "label": 1.0}',
        b'{"uid": 1.0, "input": [1.5], "label": 1.0}',
        b'{"uid": 9223372036854775808, "input": [1.5], "label": 1.0}',
        b'{"uid": 7, "input": "x", "label": 1.0}',
        b'{"uid": 7, "input": [1.5], "label": "x"}',
        b'{"uid": 7, "input": [1.5], "label": NaN}',
    ],
)
def test_faulty_feedback_is_refused(body: bytes) -> None:
    assert fault(lambda: decoding.decode_update(body, DOUBLES))


numbers = st.one_of(st.integers(), st.integers(-(2**31), 2**31 - 1), st.floats(allow_nan=False))
data = st.one_of(
    st.lists(numbers, max_size=5),
    st.text(max_size=8),
    st.binary(max_size=8).map(lambda raw: base64.b64encode(raw).decode()),
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "input": data | anything,
        "input_batch": st.lists(data, max_size=4) | anything,
        "version": st.text(max_size=3) | anything,
        "x": anything,
    },
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(list(InputType)), documents, st.booleans())
def test_what_the_fast_path_accepts_the_slow_path_reads_alike(
    input_type: InputType, document: dict[str, Any], escaped: bool
) -> None:
    text = json.dumps(document, ensure_ascii=escaped)
    quick = fast(input_type, text.encode())
    if quick is not None and "Infinity" not in text:
        assert slow(input_type, text.encode()) == quick


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(list(InputType)),
    st.one_of(
        st.binary(max_size=200),
        documents.map(lambda document: json.dumps(document).encode()),
        anything.map(lambda value: json.dumps(value).encode()),
    ),
    st.integers(0, 200),
    st.binary(max_size=3),
)
def test_whatever_comes_there_are_inputs_or_a_fault(
    input_type: InputType, body: bytes, at: int, damage: bytes
) -> None:
    damaged = body[:at] + damage + body[at + len(damage) :]
    for text in (body, damaged):
        try:
            inputs, version = decode(input_type, text)
        except JsonFault as caught:
            caught.msg.encode()
        else:
            assert all(isinstance(item, bytes) for item in inputs)
            assert version is None or isinstance(version, str)
        try:
            decoding.decode_update(text, input_type)
        except JsonFault as caught:
            caught.msg.encode()


@pytest.mark.parametrize(
    ("uid", "expected"),
    [("7", "7"), ('"ann"', "ann"), ("0", ""), ('"0"', "0"), ("-5", "-5")],
)
def test_a_user_is_an_integer_or_a_string(uid: str, expected: str) -> None:
    body = b'{"input": [1.5], "uid": %b}' % uid.encode()
    decoded = fast(DOUBLES, body)
    assert decoded is not None
    assert decoded == slow(DOUBLES, body) == ([packed(DOUBLES, 1.5)], None, expected)


@pytest.mark.parametrize("uid", ["1.5", "true", "null", "[]", '""', '"%s"' % ("x" * 257), "1e999"])
def test_any_other_user_is_refused_by_the_fields_name(uid: str) -> None:
    body = b'{"input": [1.5], "uid": %b}' % uid.encode()
    assert fast(DOUBLES, body) is None
    assert "uid" in fault(lambda: slow(DOUBLES, body)) or "1e999" in body.decode()
