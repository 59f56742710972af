"""A model's text as the JSON value in the answer (spec §2.4)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper.query.rendering import render_output


@pytest.mark.parametrize(
    "text",
    ["1.0", "1", "-0", "1E5", "[1,2]", '{"a":1}', "true", "null", '"text"', " 1", "[1]\n"],
)
def test_json_is_embedded_as_it_is(text: str) -> None:
    assert render_output(text.encode()).json == text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "abc",
        "",
        "nan",
        "NaN",
        "None",
        "Infinity",
        "[0.1 0.2]",
        "1 2",
        "1.",
        ".5",
        "01",
        "1e999",
        "'x'",
        "[1,]",
        '"\t"',
        "\ufeff1",
        "é",
    ],
)
def test_other_text_becomes_a_string(text: str) -> None:
    assert json.loads(render_output(text.encode()).json) == text


@pytest.mark.parametrize(
    "text", [b"\xff", b'"\xff"', b'{"\xff":1}', b'"a\xed\xa0\x80"', b"[1]\xff"]
)
def test_bytes_that_are_not_utf8_become_a_string_with_marks(text: bytes) -> None:
    assert json.loads(render_output(text).json) == text.decode("utf-8", "replace")


def test_a_bottomless_output_becomes_a_string() -> None:
    text = b"[" * 100_000 + b"]" * 100_000
    assert json.loads(render_output(text).json) == text.decode()


@given(
    st.one_of(
        st.binary(), st.text().map(str.encode), st.text(alphabet='[]{}",:1e.- \\u').map(str.encode)
    )
)
def test_whatever_a_model_returns_the_answer_is_json(text: bytes) -> None:
    rendered = render_output(text)
    assert rendered.text == text
    rendered.json.decode("utf-8")
    json.loads(rendered.json)
