"""The predict endpoint: bodies that are long, late, in pieces or anything at all (spec §2)."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipper.datatypes import InputType
from clipper.settings import HttpSettings

from .support import TOO_LATE, Frontend, Message, chunk

SMALL = HttpSettings(max_body_bytes=64, timeout_content_s=3)


@pytest.mark.parametrize("length", [b"65", b"1" + b"0" * 5000])
async def test_a_declared_length_beyond_the_limit_is_refused_unread(length: bytes) -> None:
    frontend = Frontend(SMALL)
    frontend.typed(InputType.STRINGS)

    reply = await frontend.predict(b"{}", headers=[(b"content-length", length)])

    assert reply.status == 413
    assert reply.json["error"] == "Request too large"
    assert "--max-body-bytes" in reply.cause


@pytest.mark.parametrize("length", [b"2", b"64", b"0", b"-1", b"1e99", b"9_999", b"", b"\xff" * 9])
async def test_a_length_that_lies_or_is_none_does_not_matter(length: bytes) -> None:
    frontend = Frontend(SMALL)
    frontend.typed(InputType.STRINGS)
    headers = [(b"content-length", length)]

    assert (await frontend.predict({"input": "x"}, headers=headers)).status == 200
    assert (await frontend.predict({"input": "x" * 64}, headers=headers)).status == 413


async def test_a_body_in_pieces() -> None:
    frontend = Frontend(SMALL)
    frontend.typed(InputType.STRINGS)
    pieces: list[Message] = [chunk(bytes([byte]), True) for byte in b'{"input": "x"}']

    whole, reply = frontend.start(
        "/app/predict", [*pieces, {"type": "http.request", "more_body": False}]
    )
    await whole
    assert reply.status == 200

    empty_first: list[Message] = [{"type": "http.request", "more_body": True}]
    whole, reply = frontend.start("/app/predict", [*empty_first, *pieces, chunk(b"", False)])
    await whole
    assert reply.status == 200

    large, reply = frontend.start("/app/predict", [chunk(b"x" * 40, True)] * 100)
    await large
    assert reply.status == 413


@pytest.mark.parametrize("begun", [False, True])
async def test_a_body_that_does_not_come_is_408(begun: bool) -> None:
    frontend = Frontend(SMALL)
    frontend.typed(InputType.STRINGS)
    task, reply = frontend.start("/app/predict", [chunk(b"{", True)] if begun else [])
    await frontend.settle()
    frontend.clock.advance(2.9)
    await frontend.settle()
    assert not task.done()

    frontend.clock.advance(0.1)
    await task

    assert reply.status == 408
    assert reply.json == {
        "error": "Request timeout",
        "cause": "The body was not complete after 3 s.",
    }


async def test_bodies_that_came_in_time_are_not_disturbed_by_a_late_one() -> None:
    frontend = Frontend(SMALL)
    frontend.serve(slo_ms=60_000)
    waiting, answered = frontend.start("/app/predict", b'{"input": "x"}')
    await frontend.settle()
    frontend.clock.advance(1.0)
    first, first_reply = frontend.start("/app/predict", [])
    await frontend.settle()
    frontend.clock.advance(1.0)
    second, _ = frontend.start("/app/predict", [])
    await frontend.settle()
    frontend.clock.advance(2.0)
    await first

    assert first_reply.status == 408
    assert not second.done()
    assert not waiting.done()
    frontend.clock.advance(1.0)
    await second
    frontend.clock.advance(60.0)
    await waiting
    assert answered.json["default_explanation"] == TOO_LATE


async def test_a_request_cancelled_by_its_server_is_cancelled() -> None:
    frontend = Frontend(SMALL)
    frontend.typed(InputType.STRINGS)
    task, reply = frontend.start("/app/predict", [])
    await frontend.settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert reply.messages == []
    frontend.clock.advance(10.0)


@pytest.mark.parametrize("begun", [False, True])
async def test_nobody_is_answered_when_the_client_is_gone(begun: bool) -> None:
    frontend = Frontend()
    frontend.typed(InputType.STRINGS)
    messages: list[Message] = [chunk(b"{", True)] if begun else []
    task, reply = frontend.start("/app/predict", [*messages, {"type": "http.disconnect"}])
    await task

    assert reply.messages == []
    assert frontend.statuses == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "input": json_values | st.lists(st.floats() | st.integers(), max_size=4),
        "input_batch": st.lists(json_values, max_size=3) | json_values,
        "version": st.text(max_size=3) | json_values,
    },
)
bodies = st.one_of(
    st.binary(max_size=400),
    json_values.map(lambda value: json.dumps(value).encode()),
    requests.map(lambda value: json.dumps(value).encode()),
    requests.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")),
)
FUZZED = HttpSettings(max_body_bytes=300)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(list(InputType)), bodies, st.sampled_from(["predict", "update"]))
def test_no_body_makes_a_500_or_a_hang(input_type: InputType, body: bytes, verb: str) -> None:
    async def run() -> None:
        frontend = Frontend(FUZZED)
        frontend.typed(input_type)
        frontend.configure(models=[frontend.model_record()], links={"app": ("m",)})
        reply = await frontend.call(f"/app/{verb}", body)
        assert reply.status in (200, 400, 413)
        assert reply.headers["content-length"] == str(len(reply.body))
        if verb == "predict":
            assert isinstance(reply.json, dict)
        else:
            reply.body.decode()

    asyncio.run(run())
