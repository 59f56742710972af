"""The management application over ASGI on a real store."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from clipper.datatypes import InputType, VersionedModelId
from clipper.management.app import create_app
from clipper.management.settings import ManagementSettings
from clipper.store.base import ReplicaRecord, WorkerLease
from clipper.store.redis import RedisStore
from clipper.store.redis_selection import RedisSelectionStore

APP = {
    "name": "hello",
    "input_type": "d",
    "default_output": "-1.0",
    "latency_slo_micros": 100_000,
}
MODEL = {
    "model_name": "m",
    "model_version": "1",
    "labels": [],
    "input_type": "doubles",
    "container_name": "reg/img:1",
    "model_data_path": "DEPRECATED",
    "batch_size": -1,
}
REPLICA = ReplicaRecord(VersionedModelId("m", "1"), 0, "host-1", InputType.DOUBLES, "ready")
LEASE = WorkerLease("w1", "127.0.0.1:7000", 0, 1, (REPLICA,))
SETTINGS = ManagementSettings(in_force_timeout_s=0.3, body_timeout_s=0.2)


@pytest.fixture
async def selection(store_url: str) -> AsyncIterator[RedisSelectionStore]:
    opened = RedisSelectionStore(store_url, "test")
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def client(
    store: RedisStore, selection: RedisSelectionStore
) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(
        create_app(store, selection, SETTINGS), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://mf") as opened:
        yield opened


async def call(client: httpx.AsyncClient, operation: str, **body: object) -> httpx.Response:
    response = await client.post(f"/admin/{operation}", content=json.dumps(body))
    assert response.headers["content-type"] == "application/json"
    return response


async def accepted(client: httpx.AsyncClient, operation: str, **body: object) -> str:
    response = await call(client, operation, **body)
    assert response.status_code == 200, response.text
    return response.text


async def refused(client: httpx.AsyncClient, operation: str, **body: object) -> str:
    response = await call(client, operation, **body)
    assert response.status_code == 400
    return response.text


async def read(client: httpx.AsyncClient, operation: str, **body: object) -> object:
    return json.loads(await accepted(client, operation, **body))


async def test_applications(client: httpx.AsyncClient) -> None:
    added = await accepted(client, "add_app", **APP)
    assert added == "Successfully added application with name 'hello'"
    assert await refused(client, "add_app", **APP) == "application 'hello' already exists"
    shown = {**APP, "input_type": "doubles", "linked_models": []}
    assert await read(client, "get_application", name="hello") == shown
    assert await read(client, "get_application", name="nobody") == {}
    assert await read(client, "get_all_applications", verbose=True) == [shown]
    assert await read(client, "get_all_applications", verbose=False) == ["hello"]
    assert await accepted(client, "get_state", app_name="hello", uid=2**40) == "-1.0"
    assert await accepted(client, "get_state", app_name="nobody", uid=0) == ""
    deleted = await accepted(client, "delete_app", name="hello")
    assert deleted == "Successfully deleted application with name 'hello'"
    assert await refused(client, "delete_app", name="hello") == "Application 'hello' does not exist"
    assert await read(client, "get_all_applications", verbose=False) == []


async def test_models(client: httpx.AsyncClient) -> None:
    added = await accepted(client, "add_model", **MODEL)
    assert added == "Successfully added model with name 'm' and input type 'doubles'"
    again = await refused(client, "add_model", **MODEL)
    assert again == "model with name 'm' and version '1' already exists"
    await accepted(client, "add_model", **{**MODEL, "model_version": "2", "labels": ["a", "b"]})
    assert await read(client, "get_all_models", verbose=False) == ["m:1", "m:2"]
    shown = {key: value for key, value in MODEL.items() if key != "batch_size"}
    first, second = await read(client, "get_all_models", verbose=True)
    generations = first["generation"], second["generation"]
    assert generations == tuple(sorted(generations))
    assert first == {**shown, "is_current_version": False, "generation": generations[0]}
    assert second["is_current_version"]
    assert second["labels"] == ["a", "b"]
    assert await read(client, "get_model", model_name="m", model_version="1") == first
    assert await read(client, "get_model", model_name="m", model_version="3") == {}
    text = await accepted(client, "set_model_version", model_name="m", model_version="1")
    assert text.startswith("Successfully set model with name 'm' to version '1'. Warning:")
    text = await refused(client, "set_model_version", model_name="x", model_version="1")
    assert text == "Cannot set version for nonexistent model 'x'"
    deleted = await accepted(client, "delete_versioned_model", model_name="m", model_version="2")
    assert deleted == "Successfully deleted model with name 'm' and version '2'"
    text = await refused(client, "delete_versioned_model", model_name="m", model_version="2")
    assert text == "model with name 'm' and version '2' does not exist"


async def test_settings_of_ours_are_kept_and_shown(client: httpx.AsyncClient) -> None:
    app = {"on_default": "error", "isolate_cache": True}
    await accepted(client, "add_app", **APP, **app)
    assert await read(client, "get_application", name="hello") == {
        **APP,
        "input_type": "doubles",
        "linked_models": [],
        **app,
    }
    await accepted(client, "add_model", **MODEL, probe_input=[1, 2.5], cache=False, batch_wait_ms=2)
    model = await read(client, "get_model", model_name="m", model_version="1")
    assert json.loads(model["probe_input"]) == [1, 2.5]
    assert model["cache"] is False
    assert model["batch_wait_ms"] == 2


async def test_an_update_keeps_the_registration_and_the_links(
    client: httpx.AsyncClient, store: RedisStore
) -> None:
    await accepted(client, "add_app", **APP)
    await accepted(client, "add_model", **MODEL)
    await accepted(client, "add_model_links", app_name="hello", model_names=["m"])
    before = (await store.read_snapshot()).applications["hello"]
    change = {"latency_slo_micros": 7, "policy": "static", "policy_options": {"model": "m"}}
    text = await accepted(client, "update_app", name="hello", **change)
    assert text == "Successfully updated application with name 'hello'"
    shown = await read(client, "get_application", name="hello")
    assert shown == {**APP, "input_type": "doubles", "linked_models": ["m"], **change}
    assert (await store.read_snapshot()).applications["hello"].generation == before.generation
    text = await refused(client, "update_app", name="hello", policy_options={"modle": "m"})
    assert "modle" in text
    assert await read(client, "get_application", name="hello") == shown


async def test_links(client: httpx.AsyncClient) -> None:
    await accepted(client, "add_app", **APP)
    await accepted(client, "add_model", **MODEL)
    link = {"app_name": "hello", "model_names": ["m"]}
    linked = await accepted(client, "add_model_links", **link)
    assert linked == "Successfully linked model with name 'm' to application 'hello'"
    again = await refused(client, "add_model_links", **link)
    assert again == "The model with name 'm' is already linked to 'hello'"
    assert await read(client, "get_linked_models", app_name="hello") == ["m"]
    text = await refused(client, "get_linked_models", app_name="nobody")
    assert text == "No application with name 'nobody' exists."
    assert await accepted(client, "delete_model_links", **link) == "Success!"
    text = await refused(client, "delete_model_links", **link)
    assert text == "Cannot remove nonexistent link between app hello and model m"
    assert await read(client, "get_linked_models", app_name="hello") == []


async def test_a_registered_again_application_starts_clean(
    client: httpx.AsyncClient, store: RedisStore
) -> None:
    await accepted(client, "add_app", **APP)
    await accepted(client, "add_model", **MODEL)
    await accepted(client, "add_model_links", app_name="hello", model_names=["m"])
    first = (await store.read_snapshot()).applications["hello"].generation
    await accepted(client, "delete_app", name="hello")
    await accepted(client, "add_app", **APP)
    assert await read(client, "get_linked_models", app_name="hello") == []
    assert (await store.read_snapshot()).applications["hello"].generation > first


async def test_containers_and_workers_come_from_the_leases(
    client: httpx.AsyncClient, store: RedisStore
) -> None:
    suspect = dataclasses.replace(REPLICA, state="suspect")
    await store.write_lease(LEASE, 30)
    await store.write_lease(WorkerLease("w2", "127.0.0.1:7001", 3, 2, (suspect,)), 30)
    shown = {
        "model_id": "m:1",
        "model_name": "m",
        "model_version": "1",
        "model_replica_id": 0,
        "input_type": "doubles",
        "instance_id": "host-1",
        "state": "ready",
        "workers": ["w1", "w2"],
        "worker_states": {"w1": "ready", "w2": "suspect"},
    }
    assert await read(client, "get_all_containers", verbose=True) == [shown]
    assert await read(client, "get_all_containers", verbose=False) == ["m:1:0"]
    model = {"model_name": "m", "model_version": "1"}
    assert await read(client, "get_container", **model, replica_id=0) == shown
    assert await read(client, "get_container", **model, replica_id=1) == {}
    assert await read(client, "get_workers") == [
        {"worker_id": "w1", "rpc_address": "127.0.0.1:7000", "applied_revision": 0, "replicas": 1},
        {"worker_id": "w2", "rpc_address": "127.0.0.1:7001", "applied_revision": 3, "replicas": 1},
    ]


async def test_setting_a_connected_version_does_not_warn(
    client: httpx.AsyncClient, store: RedisStore
) -> None:
    await accepted(client, "add_model", **MODEL)
    await store.write_lease(dataclasses.replace(LEASE, applied_revision=99), 30)
    text = await accepted(client, "set_model_version", model_name="m", model_version="1")
    assert text == "Successfully set model with name 'm' to version '1'"


async def test_a_write_returns_when_the_late_worker_has_applied_it(
    client: httpx.AsyncClient, store: RedisStore
) -> None:
    await store.write_lease(LEASE, 30)
    write = asyncio.create_task(call(client, "add_app", **APP))
    async with asyncio.timeout(5):
        while (await store.read_snapshot()).revision == 0:  # noqa: ASYNC110 - polls the server
            await asyncio.sleep(0.001)
    done, _ = await asyncio.wait({write}, timeout=0.05)
    assert not done
    await store.write_lease(dataclasses.replace(LEASE, applied_revision=1), 30)
    assert (await write).status_code == 200


async def test_a_worker_that_never_applies_is_named_and_the_change_stays(
    client: httpx.AsyncClient, store: RedisStore
) -> None:
    await store.write_lease(LEASE, 30)
    await store.write_lease(WorkerLease("w2", "127.0.0.1:7001", 99, 2), 30)
    response = await call(client, "add_app", **APP)
    assert response.status_code == 504
    assert "IS stored" in response.text
    assert "worker w1 at 127.0.0.1:7000 has applied revision 0" in response.text
    assert "w2" not in response.text
    assert "hello" in (await store.read_snapshot()).applications


async def test_a_worker_that_dies_meanwhile_is_not_waited_for(
    client: httpx.AsyncClient, store: RedisStore
) -> None:
    await store.write_lease(LEASE, 0.1)
    assert (await call(client, "add_app", **APP)).status_code == 200


async def test_without_the_store_calls_fail_with_503(
    client: httpx.AsyncClient, embedded_server
) -> None:
    assert (await client.get("/readyz")).status_code == 200
    await asyncio.to_thread(embedded_server.kill)
    for response in (
        await call(client, "add_app", **APP),
        await call(client, "get_all_models", verbose=True),
        await client.get("/readyz"),
    ):
        assert response.status_code == 503
        assert embedded_server.url in response.text
    assert (await client.get("/livez")).status_code == 200
    await asyncio.to_thread(embedded_server.start)
    assert (await call(client, "add_app", **APP)).status_code == 200


async def test_ping_unknown_paths_and_wrong_methods(client: httpx.AsyncClient) -> None:
    pong = await client.get("/admin/ping")
    assert (pong.text, pong.headers["content-type"]) == ("PONG", "application/json")
    for path in ("/admin/metrics", "/nowhere", "/admin/add_app/"):
        unknown = await client.post(path)
        assert unknown.status_code == 404
        assert unknown.json().keys() == {"error", "cause"}
        assert path in unknown.json()["cause"]
    wrong = await client.get("/admin/add_app")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    assert wrong.json() == {
        "error": "Method Not Allowed",
        "cause": "/admin/add_app does not take GET",
    }


async def test_bodies_that_are_no_json_too_large_or_never_end(client: httpx.AsyncClient) -> None:
    response = await client.post("/admin/add_app", content=b'{"name": ')
    assert response.status_code == 400
    assert response.text.startswith("Error parsing JSON: JSON parse error: ")
    assert '"latency_slo_micros" := int' in response.text
    response = await client.post("/admin/add_app", content=b" " * (1024 * 1024 + 1))
    assert response.status_code == 413
    assert response.text == "The request body is larger than 1048576 bytes"

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    response = await client.post("/admin/add_app", content=endless())
    assert response.status_code == 408


async def test_every_operation_is_documented(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    schema = paths["/admin/add_model"]["post"]["requestBody"]["content"]["application/json"]
    assert schema["schema"]["required"] == list(MODEL)
    reads_without_body = {"/admin/get_workers", "/admin/get_policies", "/admin/get_autoscaling"}
    for path, operations in paths.items():
        assert (
            "get" in operations
            or path in reads_without_body
            or ("requestBody" in operations["post"])
        )
