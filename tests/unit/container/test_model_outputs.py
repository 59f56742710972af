from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clipper.container.model import collect_outputs, describe_error, encode_outputs
from clipper.errors import ModelError


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("plain ß", "plain ß"),
        (b"bytes", "bytes"),
        (1, "1"),
        (1.0, "1.0"),
        (True, "True"),
        (None, "None"),
        (np.float64(1.0), "1.0"),
        (np.float32(0.1), "0.1"),
        (np.int64(3), "3"),
        (np.bool_(True), "True"),
        (np.str_("s"), "s"),
        ([1, 2.5], "[1, 2.5]"),
        ([np.float64(1.0), np.int32(2)], "[1.0, 2]"),
        ({"a": 1}, "{'a': 1}"),
        (np.array([1.0, 2.0]), "[1. 2.]"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
    ],
)
def test_outputs_are_what_str_says(output: object, text: str) -> None:
    assert encode_outputs([output]) == [text.encode()]


class Unprintable:
    def __str__(self) -> str:
        raise KeyError("no text")


@pytest.mark.parametrize(
    ("output", "error"),
    [("\udc80", "UTF-8"), (b"\xff", "UTF-8"), (Unprintable(), "KeyError: 'no text'")],
)
def test_an_output_without_text_is_an_error_of_its_own(output: object, error: str) -> None:
    before, failed, after = encode_outputs(["a", output, "b"])
    assert (before, after) == (b"a", b"b")
    assert isinstance(failed, str)
    assert error in failed
    failed.encode()


@pytest.mark.parametrize("result", ["ab", b"ab", {1: 2, 3: 4}, None, 7, np.array(1.0)])
def test_a_result_that_is_no_collection(result: Any) -> None:
    with pytest.raises(ModelError, match=r"^Model did not return a list$"):
        collect_outputs(result, 2)


@pytest.mark.parametrize(
    "result", [[1, 2], (1, 2), np.array([1, 2]), iter([1, 2]), (x for x in (1, 2)), {1, 2}]
)
def test_any_other_iterable_is_accepted(result: Any) -> None:
    assert collect_outputs(result, 2) == [1, 2]


NUMBERS = [1e16, 9999999999999998.0, 1e-4, 9.999e-5, -0.0, 5e-324, 0.1, float("inf"), float("nan")]


@pytest.mark.parametrize(
    "result",
    [
        np.array(NUMBERS),
        np.array(NUMBERS, dtype=np.float32),
        np.array(NUMBERS, dtype=">f8"),
        np.array([2**63], dtype=np.uint64),
        np.array([-(2**63), 7]),
        np.array([True, False]),
        np.array(["a", "ß"]),
        np.array([1, "a", None], dtype=object),
        np.array([[1.0, 2.0], [0.5, 1e-5]]),
        np.array(["2020-01-02"], dtype="datetime64[D]"),
    ],
)
def test_an_array_has_the_texts_of_its_elements(result: Any) -> None:
    outputs = collect_outputs(result, len(result))
    assert encode_outputs(outputs) == [str(element).encode() for element in result]


@given(st.lists(st.floats() | st.integers() | st.booleans()))
@example([1.0])
@example([0.0001, 0.00001])
@example([1e15, 1e16])
@example([2**70, -(2**70)])
@example([True])
def test_numbers_have_the_texts_that_str_gives_them(numbers: list[float]) -> None:
    assert encode_outputs(numbers) == [str(number).encode() for number in numbers]


def test_of_numbers_only_the_one_without_a_text_fails() -> None:
    before, failed, after = encode_outputs([1, 10**5_000, True])
    assert (before, after) == (b"1", b"True")
    assert isinstance(failed, str)
    assert failed.startswith("ValueError")


@pytest.mark.parametrize("found", [0, 1, 3])
def test_a_wrong_count_is_named(found: int) -> None:
    expected = f"^Expected model to return 2 outputs, found {found} outputs$"
    with pytest.raises(ModelError, match=expected):
        collect_outputs(range(found), 2)


def test_errors_of_a_lazy_result_are_the_users() -> None:
    def outputs() -> Any:
        yield 1
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        collect_outputs(outputs(), 2)


class Mute(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (SystemExit(), "SystemExit"),
        (Mute(), "Mute"),
        (ValueError("\udc80"), "ValueError: ?"),
        (ModelError("Model did not return a list"), "Model did not return a list"),
        (ValueError("x" * 9999), "ValueError: " + "x" * 488),
    ],
)
def test_errors_in_words(error: BaseException, text: str) -> None:
    assert describe_error(error) == text
