"""HTTP/1.1 as the load generators speak it: requests encoded once, answers read by hand."""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

DIGITS = 12
"""Width of the number in which distinct inputs differ: ``0.`` and so many digits."""
_MAX_NUMBER = 10**DIGITS
_END_OF_HEAD = b"\r\n\r\n"
_MOST_HEADS = 1_000
"""A server that numbers or dates its answers may not fill the memory."""
SLOT = "0." + "7" * DIGITS
"""Stands in a body for the number that varies; as a float it prints as it is written."""
_OUTPUT = re.compile(rb'"output":"?(-?\d+)"?[,}]')


class RequestTemplate:
    """A predict request with one number in it that can be different in every copy.

    The number's width is fixed, so that the length of the body, and with it the whole head, is
    encoded once. Making a copy costs a fraction of a microsecond.
    """

    def __init__(self, host: str, path: str, values: list[float], body: str = "") -> None:
        """Encode a request.

        Args:
            values: the input; its first element is the one that varies.
            body: used as it is, around the `SLOT` in it; empty: ``values`` in Clipper's form.
        """
        rest = "".join(f",{value}" for value in values[1:])
        body = body or f'{{"input":[{SLOT}{rest}]}}'
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        before, _, after = (head + body).partition(SLOT)
        self.before = before.encode() + b"0."
        """What comes before the number's digits, head included."""
        self.after = after.encode()
        """What comes behind them."""
        self._numbers = itertools.count()
        self.same = self.numbered(0)
        """A request that is the same every time."""

    def start_at(self, number: int) -> None:
        """Let the next distinct copy have this number; runs must not repeat each other's."""
        self._numbers = itertools.count(number % _MAX_NUMBER)

    def distinct(self) -> bytes:
        """Return a copy that no other call has returned."""
        return self.numbered(next(self._numbers))

    def numbered(self, number: int) -> bytes:
        """Return the copy with this number: the input's first element is ``number / 10^12``."""
        return b"%b%0*d%b" % (self.before, DIGITS, number % _MAX_NUMBER, self.after)


class Reply(NamedTuple):
    """An answer's head, as far as it matters here."""

    size: int
    """Bytes of head and body together."""
    good: bool
    """Whether the status is 200."""
    default: bool


class ReplyReader:
    """Reads answers; a head that was seen before, as most are, is not parsed again."""

    def __init__(self) -> None:
        self._known: dict[bytes, Reply] = {}

    def read(self, data: bytes) -> Reply | None:
        """Read the answer at the start of ``data``; None while its head is not complete.

        Raises:
            ValueError: no Content-Length; such an answer is not of the servers measured here.
        """
        end = data.find(_END_OF_HEAD)
        if end < 0:
            return None
        head = data[:end]
        reply = self._known.get(head)
        if reply is None:
            reply = _parse_head(head)
            if len(self._known) >= _MOST_HEADS:
                self._known.clear()
            self._known[head] = reply
        return reply


def _parse_head(head: bytes) -> Reply:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError(f"an answer without Content-Length: {head!r}")
    length = int(lower[at + 17 :].split(b"\r\n", 1)[0])
    size = len(head) + len(_END_OF_HEAD) + length
    return Reply(size, head[9:12] == b"200", b"\r\nx-clipper-default:" in lower)


def whole_output(data: bytes) -> int | None:
    """Return the whole number that an answer gives as output; None when it gives none."""
    match = _OUTPUT.search(data)
    return int(match[1]) if match else None
