"""`test_predict_function`: what the function gets, and what is said about bad queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clipper.admin.connection import ClipperConnection
from clipper.errors import ClipperException


def seen(xs: list[Any]) -> list[Any]:
    return [(type(x).__name__, getattr(x, "dtype", None)) for x in xs]


@pytest.mark.parametrize(
    ("input_type", "one", "expected"),
    [
        ("doubles", [1, 2.5], ("ndarray", np.dtype("<f8"))),
        ("f", [1.0], ("ndarray", np.dtype("<f4"))),
        ("ints", [1, np.int64(2)], ("ndarray", np.dtype("<i4"))),
        ("strings", "text", ("str", None)),
        ("string", "text", ("str", None)),
        ("bytes", b"raw", ("bytes", None)),
        ("doubles", [], ("ndarray", np.dtype("<f8"))),
    ],
)
def test_inputs_arrive_as_in_a_container(
    unconnected: ClipperConnection, input_type: str, one: object, expected: object
) -> None:
    assert unconnected.test_predict_function({"input": one}, seen, input_type) == [expected]
    batch = {"input_batch": [one, one]}
    assert unconnected.test_predict_function(batch, seen, input_type) == [expected] * 2


@pytest.mark.parametrize(
    ("query", "input_type", "text"),
    [
        ({"input": 1.0}, "doubles", "Invalid input type or JSON key"),
        ({"input_batch": [1.0]}, "doubles", "Invalid input type or JSON key"),
        ({"input_batch": "ab"}, "strings", "Invalid input type or JSON key"),
        ({"inputs": [1.0]}, "doubles", "Invalid input type or JSON key"),
        ({}, "doubles", "Invalid input type or JSON key"),
        ({"input": [1.5]}, "integers", "Invalid input type"),
        ({"input": [True]}, "doubles", "Invalid input type"),
        ({"input": [2**40]}, "integers", "Invalid input type"),
        ({"input": "text"}, "bytes", "Invalid input type"),
        ({"input_batch": ["a", b"b"]}, "strings", "Invalid input type"),
    ],
)
def test_bad_queries_are_described(
    unconnected: ClipperConnection, query: dict[str, Any], input_type: str, text: str
) -> None:
    assert unconnected.test_predict_function(query, seen, input_type) == text


def test_unknown_input_type(unconnected: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match="matrix is not a valid input string"):
        unconnected.test_predict_function({"input": [1]}, seen, "matrix")


def test_result_is_returned_as_it_is(unconnected: ClipperConnection) -> None:
    captured = 2.0
    query = {"input_batch": [[1.1, 2.2], [3.0]]}
    result = unconnected.test_predict_function(
        query, lambda xs: [sum(x) * captured for x in xs], "doubles"
    )
    assert result == [pytest.approx(6.6), 6.0]
