"""Whatever arrives, and however it is cut: the same events, or an `Http2Error`."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clipper.rpc import frames as wire
from clipper.rpc.frames import Http2Error, frame

from .support import GREETING, Client, data_frame, message, reset, settings, window

PAYLOADS = st.binary(max_size=40)
FRAMES = st.builds(
    frame,
    st.integers(0, 11),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 5, 1 << 31]),
    PAYLOADS,
)


class Script:
    """A valid conversation, written by drawn steps."""

    def __init__(self) -> None:
        self.client = Client(greet=False)  # for its header compression alone
        self.parts = [GREETING]
        self.open: list[int] = []
        self.next = 1

    def step(self, draw: Any) -> None:
        kind = draw(st.sampled_from(["call", "data", "data", "data", "reset", "end", "other"]))
        if kind == "call" and len(self.open) < 16:
            self.parts.append(self.client.head(self.next))
            self.open.append(self.next)
            self.next += 2
        elif kind == "other" or not self.open:
            ping = frame(wire.PING, 0, 0, b"12345678")
            wide = settings((wire.INITIAL_WINDOW_SIZE, draw(st.integers(0, 100_000))))
            self.parts.append(
                draw(st.sampled_from([ping, wide, window(0, 1), frame(99, 1, 7, b"x")]))
            )
        elif kind == "data":
            number = draw(st.sampled_from(self.open))
            whole = b"".join(map(message, draw(st.lists(PAYLOADS, max_size=3))))
            cut = draw(st.integers(0, len(whole)))
            self.parts += [data_frame(number, whole[:cut]), data_frame(number, whole[cut:])]
        else:
            number = draw(st.sampled_from(self.open))
            self.open.remove(number)
            over = data_frame(number, b"", wire.END_STREAM)
            self.parts.append(reset(number) if kind == "reset" else over)


@st.composite
def conversations(draw: Any) -> bytes:
    script = Script()
    for _ in range(draw(st.integers(0, 15))):
        script.step(draw)
    return b"".join(script.parts)


def run(chunks: list[bytes]) -> tuple[list[Any], list[Any]]:
    client = Client(greet=False)
    client.echo = True
    for chunk in chunks:
        client.feed(chunk)
    return client.events, client.frames()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


@given(conversations(), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_how_the_bytes_are_cut_makes_no_difference(data: bytes, places: list[int]) -> None:
    whole = run([data])

    assert run(cut(data, places)) == whole
    assert run([bytes([byte]) for byte in data]) == whole


@given(st.booleans(), st.lists(st.one_of(FRAMES, PAYLOADS), max_size=12))
def test_nothing_that_arrives_raises_anything_else(greet: bool, parts: list[bytes]) -> None:
    client = Client(greet=greet)
    client.echo = True
    client.finish_at = b""
    with contextlib.suppress(Http2Error):
        client.feed(client.head(), *parts)
    client.frames()
    client.connection.lost("gone")
    assert all(handler.ended for handler in client.handlers.values())


@given(PAYLOADS, st.integers(0, 255))
def test_any_header_block_is_taken_or_refused(block: bytes, flags: int) -> None:
    client = Client()
    with contextlib.suppress(Http2Error):
        client.feed(frame(wire.HEADERS, flags | wire.END_HEADERS, 1, block))
