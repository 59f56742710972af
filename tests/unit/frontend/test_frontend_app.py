"""Everything but predictions: health, metrics, the OpenAPI document."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi.openapi.models import OpenAPI

from .support import Frontend


async def get(frontend: Frontend, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=frontend.http)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize("path", ["/livez", "/v2/health/live"])
async def test_live_as_long_as_it_answers(path: str) -> None:
    frontend = Frontend()
    frontend.is_ready = False

    assert (await get(frontend, path)).status_code == 200


@pytest.mark.parametrize("path", ["/readyz", "/v2/health/ready"])
async def test_ready_only_when_it_can_serve(path: str) -> None:
    frontend = Frontend()
    assert (await get(frontend, path)).json() == {"ready": True}

    frontend.is_ready = False
    reply = await get(frontend, path)

    assert (reply.status_code, reply.json()) == (503, {"ready": False})


async def test_metrics_are_prometheus_text_or_json_when_asked() -> None:
    frontend = Frontend()

    text = await get(frontend, "/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE" in text.text

    as_json = await get(frontend, "/metrics", accept="application/json")
    assert as_json.headers["content-type"] == "application/json"
    assert as_json.json()


async def test_unknown_paths_and_methods_have_the_error_object() -> None:
    frontend = Frontend()
    missing = await get(frontend, "/nothing")
    wrong = await frontend.call("/metrics", b"", "POST")

    assert missing.status_code == 404
    assert missing.json()["error"] == "Not Found"
    assert wrong.status == 405
    assert wrong.json["error"] == "Method Not Allowed"


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for value in node for ref in references(value)] if isinstance(node, list) else []


async def test_the_openapi_document_is_valid_and_names_every_path() -> None:
    document: dict[str, Any] = (await get(Frontend(), "/openapi.json")).json()

    OpenAPI.model_validate(document)
    assert {"/{app}/predict", "/{app}/update", "/metrics", "/livez"} <= set(document["paths"])
    for path in ("/{app}/predict", "/{app}/update"):
        operation = document["paths"][path]["post"]
        assert {"200", "400", "404", "405", "408", "413", "503"} <= set(operation["responses"])
    operations = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(operations) == len(set(operations))
    assert all(ref.startswith("#/components/") for ref in references(document))


async def test_the_document_tells_a_single_answer_from_a_batch() -> None:
    document: dict[str, Any] = (await get(Frontend(), "/openapi.json")).json()
    reply = document["paths"]["/{app}/predict"]["post"]["responses"]["200"]
    single, batch = reply["content"]["application/json"]["schema"]["oneOf"]

    assert "output" in single["required"]
    assert batch["required"] == ["batch_predictions"]
