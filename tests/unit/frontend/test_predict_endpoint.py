"""The predict endpoint over ASGI with the real query path: answers and defaults.

Spec §2; design decisions 5, 6, 10.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from clipper.datatypes import OnDefault

from .support import TOO_LATE, Frontend, Message, chunk

NO_REPLICA = "No connected models found for query"


async def test_a_prediction_has_the_single_form() -> None:
    frontend = Frontend()
    container = frontend.serve()
    task, reply = frontend.start("/app/predict", b'{"input": "x"}')
    await frontend.settle()

    container.answer(outputs=[b"6.6"])
    await task

    assert reply.status == 200
    assert reply.json == {"query_id": 7 << 32, "output": 6.6, "default": False}
    assert reply.headers == {
        "content-type": "application/json",
        "content-length": str(len(reply.body)),
    }
    assert frontend.statuses == [200]


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("1.0", 1.0),
        ("1", 1),
        ("[1,2]", [1, 2]),
        ('{"a":1}', {"a": 1}),
        ("true", True),
        ("null", None),
        (" 1", 1),
        ("abc", "abc"),
        ("", ""),
        ("nan", "nan"),
        ("None", "None"),
        ("[0.1 0.2]", "[0.1 0.2]"),
        ("1 2", "1 2"),
        ("é\x00", "é\x00"),
    ],
)
async def test_an_output_is_embedded_as_json_or_as_a_string(output: str, shown: object) -> None:
    frontend = Frontend()
    container = frontend.serve()
    task, reply = frontend.start("/app/predict", b'{"input": "x"}')
    await frontend.settle()
    container.answer(outputs=[output.encode()])
    await task

    assert reply.json["output"] == shown


async def test_a_batch_is_answered_in_the_order_of_its_inputs() -> None:
    frontend = Frontend()
    container = frontend.serve(model={"batch_size": 1})
    task, reply = frontend.start("/app/predict", b'{"input_batch": ["a", "b"]}')
    await frontend.settle()
    container.answer(1)
    assert not task.done()
    container.answer(0)
    await task

    predictions = reply.json["batch_predictions"]
    assert [p["output"] for p in predictions] == ["out:a", "out:b"]
    assert [p["default"] for p in predictions] == [False, False]
    assert len({p["query_id"] for p in predictions}) == 2


async def test_a_batch_of_one_has_the_single_form_and_an_empty_one_is_empty() -> None:
    frontend = Frontend()
    container = frontend.serve()
    task, reply = frontend.start("/app/predict", b'{"input_batch": ["a"]}')
    await frontend.settle()
    container.answer()
    await task

    assert set(reply.json) == {"query_id", "output", "default"}
    assert (await frontend.predict({"input_batch": []})).json == {"batch_predictions": []}


async def test_an_empty_input_goes_to_the_model() -> None:
    frontend = Frontend()
    container = frontend.serve()
    task, reply = frontend.start("/app/predict", b'{"input": ""}')
    await frontend.settle()
    container.answer(outputs=[b"empty"])
    await task

    assert reply.json["output"] == "empty"


async def test_a_default_says_why_in_body_and_header() -> None:
    frontend = Frontend()
    frontend.configure([frontend.app_record(default_output="-1.0")])

    reply = await frontend.predict({"input": "x"})

    assert reply.status == 200
    assert reply.json == {
        "query_id": 7 << 32,
        "output": -1.0,
        "default": True,
        "default_explanation": NO_REPLICA,
    }
    assert reply.headers["x-clipper-default"] == "no-replica"


async def test_the_slo_counts_from_the_complete_body_and_is_kept_exactly() -> None:
    frontend = Frontend()
    frontend.serve(slo_ms=50)
    arrived = asyncio.Event()
    chunks = [chunk(b'{"input": ', True), chunk(b'"x"}', False)]

    async def receive() -> Message:
        if len(chunks) == 1:
            await arrived.wait()
        return chunks.pop(0)

    _, reply = frontend.start("/app/predict")
    scope = {"type": "http", "path": "/app/predict", "method": "POST", "headers": []}
    task = asyncio.create_task(frontend.http(scope, receive, reply.send))
    await frontend.settle()
    frontend.clock.advance(10.0)
    arrived.set()
    await frontend.settle()
    frontend.clock.advance(0.0499)
    await frontend.settle()
    assert not task.done()
    frontend.clock.advance(0.0001)
    await task

    body = json.loads(reply.messages[-1]["body"])
    assert body["default_explanation"] == TOO_LATE


@pytest.mark.parametrize(
    ("scenario", "reason", "status", "cause"),
    [
        ("no-replica", "no-replica", 503, NO_REPLICA),
        ("slo", "slo", 504, TOO_LATE),
        ("model-error", "model-error", 503, "The model failed on this input: KeyError: 'a'"),
        ("shed", "shed", 503, "The query was shed because the model's queue is full"),
    ],
)
@pytest.mark.parametrize("on_default", list(OnDefault))
async def test_every_reason_in_both_forms(
    scenario: str, reason: str, status: int, cause: str, on_default: OnDefault
) -> None:
    frontend = Frontend(max_queue_length=0 if scenario == "shed" else 100)
    container = frontend.serve(app={"on_default": on_default})
    if scenario == "no-replica":
        container.die()
    task, reply = frontend.start("/app/predict", b'{"input": "x"}')
    await frontend.settle()
    if scenario == "model-error":
        container.answer(errors={0: "KeyError: 'a'"})
    frontend.clock.advance(0.1)
    await task

    assert reply.headers["x-clipper-default"] == reason
    if on_default is OnDefault.ERROR:
        assert reply.status == status
        assert reply.json["error"] == "No prediction"
        assert reply.cause == cause
    else:
        assert reply.status == 200
        assert reply.json["output"] == "DEFAULT"
        assert reply.json["default"] is True
        assert reply.json["default_explanation"] == cause


async def test_a_partly_answered_batch_is_200_whatever_on_default_says() -> None:
    frontend = Frontend()
    container = frontend.serve(app={"on_default": OnDefault.ERROR})
    task, reply = frontend.start("/app/predict", b'{"input_batch": ["a", "b"]}')
    await frontend.settle()
    container.answer(errors={1: "no"})
    await task

    assert reply.status == 200
    assert reply.headers["x-clipper-default"] == "model-error"
    good, bad = reply.json["batch_predictions"]
    assert good["output"] == "out:a"
    assert bad["reason"] == "model-error"


async def test_a_batch_of_errors_only_has_the_status_of_the_worst() -> None:
    frontend = Frontend()
    frontend.serve(app={"on_default": OnDefault.ERROR})
    task, reply = frontend.start("/app/predict", b'{"input_batch": ["a", "b"]}')
    await frontend.settle()
    frontend.clock.advance(0.1)
    await task

    assert reply.status == 504
