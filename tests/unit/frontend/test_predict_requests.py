"""The predict and update endpoints: requests that are refused or routed elsewhere (spec §2)."""

from __future__ import annotations

import json

import pytest

from clipper.datatypes import InputType
from clipper.settings import HttpSettings
from tests.unit.query.support import break_policy

from .support import Frontend, Message

UNKNOWN_VERSION = "Requested version: 9 does not exist for model: m"


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
        {"m": "1", "n": "1"},
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


async def test_millions_of_inputs_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frontend = Frontend()
    frontend.typed(InputType.DOUBLES)
    body = b'{"input_batch":[' + b",".join([b"[1]"] * 300_000) + b"]}"
    with monkeypatch.context() as patch:
        patch.delattr("clipper.frontend.decoding.decode_predict")
        reply = await frontend.predict(body)

    assert reply.status == 400
    assert reply.cause == "input_batch has 300000 inputs; at most 10000 are allowed in one request"


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


async def test_a_policy_that_raises_is_a_500_in_plain_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    frontend = Frontend()
    container = frontend.serve({"policy": "static"})
    break_policy(frontend)
    task, reply = frontend.start("/app/predict", b'{"input":"x"}')
    await frontend.settle()
    container.answer()
    await task

    assert reply.status == 500
    assert reply.text == "An unexpected error occurred!"
    assert "ArithmeticError: broken" in caplog.text


async def test_feedback_texts() -> None:
    frontend = Frontend()
    frontend.typed(InputType.DOUBLES)

    async def feed(body: object) -> tuple[int, str]:
        reply = await frontend.call("/app/update", json.dumps(body).encode())
        return reply.status, reply.text

    good = {"uid": 0, "input": [1.0], "label": 1.0}
    assert await feed(good) == (200, "Feedback received? 1")
    assert await feed({**good, "uid": 1}) == (200, "Feedback received? 0")
    status, text = await feed({**good, "label": "x"})
    assert status == 400
    assert text.startswith("Error parsing JSON: Type mismatch! JSON key label ")


async def test_other_scopes_go_to_the_rest_of_the_application() -> None:
    frontend = Frontend()
    seen: list[str] = []

    async def rest(scope: Message, receive: object, send: object) -> None:
        seen.append(scope["type"])

    frontend.http._fallback = rest
    for scope in ({"type": "lifespan"}, {"type": "websocket", "path": "/app/predict"}):
        await frontend.http(scope, None, None)  # type: ignore[arg-type]

    assert seen == ["lifespan", "websocket"]
