"""Heads that are recognised by their bytes: a bounded memory of them."""

from __future__ import annotations

import pytest

from clipper.frontend import request_head
from clipper.frontend.request_head import HeadCache, PredictHead, read_head


def head(number: int, more: bytes = b"") -> bytes:
    return b"POST /a%d/predict HTTP/1.1\r\nContent-Length: %d\r\n%b\r\n" % (number, number, more)


def read(heads: HeadCache, data: bytes) -> tuple[str, int] | None:
    """Return whom a head is for, and the length of the body."""
    found = heads.read(data)
    return found and (found.application, found.body_bytes)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The heads that were parsed."""
    seen: list[bytes] = []

    def noted(data: bytes) -> PredictHead | None:
        seen.append(data)
        return read_head(data)

    monkeypatch.setattr(request_head, "read_head", noted)
    return seen


def test_a_head_is_parsed_once(parsed: list[bytes]) -> None:
    heads = HeadCache(1000)
    for _ in range(3):
        assert read(heads, head(5)) == ("a5", 5)

    assert parsed == [head(5)]


def test_the_memory_of_heads_is_bounded(
    parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_head, "_MOST_HEADS", 4)
    heads = HeadCache(1000)
    for number in range(50):
        assert read(heads, head(number)) == (f"a{number}", number)
        assert len(heads._heads) <= 4

    assert len(parsed) == 50


def test_long_heads_and_unusual_ones_are_not_remembered(parsed: list[bytes]) -> None:
    heads = HeadCache(1000)
    long = head(5, b"Cookie: " + b"c" * 5000 + b"\r\n")
    many = head(5, b"A: b\r\n" * 40)
    unusual = head(5, b"Expect: 100-continue\r\n")
    for _ in range(2):
        assert read(heads, long) == ("a5", 5)
        assert read(heads, many) == ("a5", 5)
        assert read(heads, unusual) is None
        assert read(heads, head(1001)) is None

    assert len(parsed) == 8
    assert heads._heads == {}


def test_the_largest_body_that_is_allowed() -> None:
    assert read(HeadCache(1000), head(1000)) == ("a1000", 1000)
