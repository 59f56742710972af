"""What operators are told of policies, over ASGI, from stores in memory."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from clipper.datatypes import InputType
from clipper.management.app import create_app
from clipper.management.settings import ManagementSettings
from clipper.selection.ledger import enter, ledger
from clipper.selection.policy import Arm, Choice
from clipper.store.base import ApplicationRecord, ConfigSnapshot, ModelRecord
from clipper.store.selection import FeedbackWrite, Increment, StateKey, StateUpdate
from tests.fakes.fake_selection_store import FakeSelectionStore
from tests.fakes.fake_store import FakeStore

A, B = Arm("a:1#3", "a", "1"), Arm("b:2#5", "b", "2")


def snapshot() -> ConfigSnapshot:
    app = ApplicationRecord(
        "shop", InputType.DOUBLES, "0", 1000, policy="exp3", policy_options={"eta": 0.2},
        calibration="isotonic", costs={"b": 4.0}, generation=7,
    )  # fmt: skip
    models = (
        ModelRecord("a", "1", InputType.DOUBLES, generation=3),
        ModelRecord("b", "1", InputType.DOUBLES, generation=4),
        ModelRecord("b", "2", InputType.DOUBLES, generation=5),
    )
    return ConfigSnapshot(
        applications={"shop": app},
        models={model.id: model for model in models},
        links={"shop": ("a", "b", "gone")},
        current_versions={"a": "1", "b": "1", "gone": "1"},
        serving_versions={"b": "2"},
    )


@pytest.fixture
def selection() -> FakeSelectionStore:
    return FakeSelectionStore()


@pytest.fixture
async def client(selection: FakeSelectionStore) -> AsyncIterator[httpx.AsyncClient]:
    store = FakeStore()
    store.snapshot = snapshot()
    app = create_app(store, selection, ManagementSettings())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://mf") as opened:
        yield opened


async def ask(client: httpx.AsyncClient, operation: str, **body: object) -> httpx.Response:
    return await client.post(f"/admin/{operation}", content=json.dumps(body))


async def learn(selection: FakeSelectionStore, queries: int) -> None:
    """Arm b is asked on every query and always right; a is always wrong."""
    choice = Choice((A, B), arms=(A, B), propensities=(1.0, 1.0))
    writes = []
    for at in range(queries):
        added = ledger(choice, {A: 1.0, B: 0.0}, 0.0, 0.75, (A, B), (), {"b": 4.0})
        entered = enter("exp3", added)
        increments = [Increment(one.field, one.amount, one.start) for one in entered]
        update = StateUpdate(StateKey("shop", 7), increments)
        writes.append(FeedbackWrite(str(at), [update], log_entry=f"entry {at}".encode()))
    await selection.write_feedback("shop", 7, writes)


async def test_a_policy_is_shown_with_its_settings_and_what_it_did(
    client: httpx.AsyncClient, selection: FakeSelectionStore
) -> None:
    await learn(selection, 50)
    response = await ask(client, "get_policy", app_name="shop")
    assert response.status_code == 200
    shown = response.json()
    assert (shown["policy"], shown["policy_options"]) == ("exp3", {"eta": 0.2})
    assert (shown["calibration"], shown["costs"]) == ("isotonic", {"b": 4.0})
    summary = shown["summary"]
    assert (summary["labelled"], summary["mean_loss"]) == (50, 0.0)
    assert (summary["best_arm"], summary["regret"]) == ("b:2", 0.0)
    assert summary["cost_per_query"] == 5.0
    assert summary["raw_calibration_error"] == pytest.approx(0.25)
    assert summary["calibration_error"] == pytest.approx(0.0)
    # The version that serves, not the one that shall; a model without a version is left out.
    assert [(arm["model"], arm["version"]) for arm in summary["arms"]] == [("a", "1"), ("b", "2")]


async def test_without_feedback_nothing_is_known(client: httpx.AsyncClient) -> None:
    shown = (await ask(client, "get_policy", app_name="shop")).json()
    assert (shown["feedback"], shown["summary"]["mean_loss"]) == (0, None)


async def test_the_newest_feedback_comes_oldest_first(
    client: httpx.AsyncClient, selection: FakeSelectionStore
) -> None:
    await learn(selection, 5)
    response = await ask(client, "get_feedback_log", app_name="shop", count=2)
    assert [base64.b64decode(one) for one in response.json()] == [b"entry 3", b"entry 4"]


@pytest.mark.parametrize("operation", ["get_policy", "get_feedback_log"])
async def test_an_unknown_application_is_refused(client: httpx.AsyncClient, operation: str) -> None:
    response = await ask(client, operation, app_name="nobody", count=1)
    assert (response.status_code, response.text) == (
        400,
        "No application with name 'nobody' exists.",
    )


@pytest.mark.parametrize("count", [0, -1, 100_001])
async def test_a_count_out_of_range_is_refused(client: httpx.AsyncClient, count: int) -> None:
    response = await ask(client, "get_feedback_log", app_name="shop", count=count)
    assert response.status_code == 400
    assert response.text.startswith("count: ")


async def test_a_store_that_is_away_is_said_to_be(
    client: httpx.AsyncClient, selection: FakeSelectionStore
) -> None:
    selection.up = False
    assert (await ask(client, "get_policy", app_name="shop")).status_code == 503


async def test_policies_come_with_the_schemas_of_their_options(client: httpx.AsyncClient) -> None:
    policies = {one["name"]: one for one in (await ask(client, "get_policies")).json()}
    assert policies["exp3"]["options"]["eta"]["default"] == 0.05
    assert policies["exp3"]["text"]
