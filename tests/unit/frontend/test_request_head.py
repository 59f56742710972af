"""Heads that are recognised by their bytes: a bounded memory of them."""

from __future__ import annotations

import pytest

from clipper.frontend import request_head
from clipper.frontend.request_head import HeadCache, PredictHead, read_head


def head(number: int, more: bytes = b"") -> bytes:
    return b"POST /a%d/predict HTTP/1.1\r\nContent-Length: %d\r\n%b\r\n" % (number, number, more)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The heads that were parsed."""
    seen: list[bytes] = []

    def read(data: bytes) -> PredictHead | None:
        seen.append(data)
        return read_head(data)

    monkeypatch.setattr(request_head, "read_head", read)
    return seen


def test_a_head_is_parsed_once(parsed: list[bytes]) -> None:
    heads = HeadCache(1000)
    for _ in range(3):
        assert heads.read(head(5)) == PredictHead("a5", 5)

    assert parsed == [head(5)]


def test_the_memory_of_heads_is_bounded(
    parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_head, "_MOST_HEADS", 4)
    heads = HeadCache(1000)
    for number in range(50):
        assert heads.read(head(number)) == PredictHead(f"a{number}", number)
        assert len(heads._heads) <= 4

    assert len(parsed) == 50


def test_long_heads_and_unusual_ones_are_not_remembered(parsed: list[bytes]) -> None:
    heads = HeadCache(1000)
    long = head(5, b"Cookie: " + b"c" * 5000 + b"\r\n")
    unusual = head(5, b"Expect: 100-continue\r\n")
    for _ in range(2):
        assert heads.read(long) == PredictHead("a5", 5)
        assert heads.read(unusual) is None
        assert heads.read(head(1001)) is None

    assert len(parsed) == 6
    assert heads._heads == {}


def test_the_largest_body_that_is_allowed() -> None:
    assert HeadCache(1000).read(head(1000)) == PredictHead("a1000", 1000)
