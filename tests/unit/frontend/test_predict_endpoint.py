"""The predict endpoint over ASGI with the real query path (spec §2; design decisions 5, 6, 10)."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipper.datatypes import InputType, OnDefault
from clipper.settings import HttpSettings

from .support import Frontend, Message

NO_REPLICA = "No connected models found for query"
UNKNOWN_VERSION = "Requested version: 9 does not exist for model: m"
TOO_LATE = "Failed to retrieve a prediction response within the specified latency SLO"


def chunk(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


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


@pytest.mark.parametrize(
    ("body", "error", "cause"),
    [
        ({"input": "x", "version": "9"}, "Query processing error", UNKNOWN_VERSION),
        ({"input": 1, "version": "9"}, "Query processing error", UNKNOWN_VERSION),
        ([], "Json error", "JSON schema invalid"),
    ],
)
async def test_errors_of_the_caller(body: object, error: str, cause: str) -> None:
    frontend = Frontend()
    frontend.serve()

    reply = await frontend.predict(json.dumps(body).encode())

    assert reply.status == 400
    assert reply.json == {"error": error, "cause": cause}


async def test_json_faults_carry_prefix_and_schema() -> None:
    frontend = Frontend()
    frontend.serve()

    reply = await frontend.predict({"input": [1.0]})

    assert reply.status == 400
    assert reply.json["error"] == "Json error"
    assert reply.cause.startswith(
        "Error parsing JSON: Type mismatch! JSON key input expected type Stringbut found type "
        "Array. Expected JSON schema: "
    )


async def test_a_version_with_several_links_or_an_unknown_policy() -> None:
    frontend = Frontend()
    frontend.configure(
        [frontend.app_record(policy="Exp9")],
        [frontend.model_record(), frontend.model_record(name="n")],
        {"app": ("m", "n")},
    )

    several = await frontend.predict({"input": "x", "version": "1"})
    policy = await frontend.predict({"input": "x"})

    assert several.cause == "Too many models linked to application app"
    assert policy.status == 400
    assert policy.json["error"] == "Query processing error"
    assert policy.cause == "Exp9 is an invalid  selection_policy."


async def test_too_many_inputs_are_refused() -> None:
    frontend = Frontend(HttpSettings(max_batch_inputs=2))
    frontend.typed(InputType.STRINGS)

    assert (await frontend.predict({"input_batch": ["a", "b"]})).status == 200
    reply = await frontend.predict({"input_batch": ["a", "b", "c"]})

    assert reply.status == 400
    assert reply.cause == "input_batch has 3 inputs; at most 2 are allowed in one request"


@pytest.mark.parametrize("name", ["app", "a.b", "a b", "é", "predict", "update", "a+b%", '"q"'])
async def test_any_name_is_a_path_and_only_its_own(name: str) -> None:
    frontend = Frontend()
    frontend.configure([frontend.app_record(name)])

    for path in (f"/{name}/predict", f"/{name}/predict/"):
        assert (await frontend.call(path, {"input": "x"})).status == 200
    for path in (f"/{name}x/predict", f"/x/{name}/predict"):
        reply = await frontend.call(path, {"input": "x"})
        assert reply.status == 404
        assert reply.json["error"] == "Unknown application"


async def test_an_unknown_application_is_named_in_the_404() -> None:
    frontend = Frontend()
    reply = await frontend.call("/aXb/predict", {"input": "x"})

    assert reply.status == 404
    assert reply.cause == "No application with name 'aXb' exists."


@pytest.mark.parametrize("path", ["/", "/predict", "/app", "/app/other", "/app/predict/x", "//"])
async def test_other_paths_are_404_with_a_body(path: str) -> None:
    frontend = Frontend()
    frontend.typed(InputType.STRINGS)

    reply = await frontend.call(path, b"{}")

    assert reply.status == 404
    assert set(reply.json) == {"error", "cause"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("verb", ["predict", "update"])
async def test_other_methods_are_405(method: str, verb: str) -> None:
    frontend = Frontend()
    frontend.typed(InputType.STRINGS)

    reply = await frontend.call(f"/app/{verb}", method=method)

    assert reply.status == 405
    assert reply.headers["allow"] == "POST"
    assert reply.json == {"error": "Method not allowed", "cause": f"Use POST, not {method}."}


async def test_query_string_and_content_type_are_ignored() -> None:
    frontend = Frontend()
    frontend.typed(InputType.STRINGS)

    reply = await frontend.predict({"input": "x"}, headers=[(b"content-type", b"text/plain")])

    assert reply.status == 200


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


async def test_a_policy_that_raises_is_a_500_in_plain_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    frontend = Frontend()
    frontend.typed(InputType.STRINGS)
    application = frontend.applications.get("app")
    assert application is not None

    class Broken(type(application.policy)):  # type: ignore[misc]
        def combine(self, state: bytes, outputs: object) -> None:
            raise ArithmeticError("broken")

    application.policy = Broken()
    reply = await frontend.predict({"input": "x"})

    assert reply.status == 500
    assert reply.text == "An unexpected error occurred!"
    assert "ArithmeticError: broken" in caplog.text


async def test_feedback_texts() -> None:
    frontend = Frontend()
    frontend.typed(InputType.DOUBLES)
    frontend.store.states["app", "0@1"] = b"state"

    async def feed(body: object) -> tuple[int, str]:
        reply = await frontend.call("/app/update", json.dumps(body).encode())
        return reply.status, reply.text

    good = {"uid": 0, "input": [1.0], "label": 1.0}
    assert await feed(good) == (200, "Feedback received? 1")
    assert await feed({**good, "uid": 1}) == (200, "Feedback received? 0")
    status, text = await feed({**good, "label": "x"})
    assert status == 400
    assert text.startswith("Error parsing JSON: Type mismatch! JSON key label ")
    frontend.store.up = False
    assert (await feed(good))[0] == 503


async def test_other_scopes_go_to_the_rest_of_the_application() -> None:
    frontend = Frontend()
    seen: list[str] = []

    async def rest(scope: Message, receive: object, send: object) -> None:
        seen.append(scope["type"])

    frontend.http._fallback = rest
    for scope in ({"type": "lifespan"}, {"type": "websocket", "path": "/app/predict"}):
        await frontend.http(scope, None, None)  # type: ignore[arg-type]

    assert seen == ["lifespan", "websocket"]


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
