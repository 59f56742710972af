"""Feedback: joined with what was predicted, learned, stored once."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from clipper.errors import InvalidRequest, StoreUnavailable
from clipper.query.applications import Application
from clipper.query.feedback import Feedback
from clipper.selection.ledger import open_book
from clipper.selection.records import decode_feedback
from clipper.store.selection import StateKey

from .support import Bench, Container, only
from .test_selector import say, serve


def application(bench: Bench) -> Application:
    found = bench.applications.get("app")
    assert found is not None
    return found


def state(bench: Bench, uid: str = "") -> dict[str, float]:
    """Return a state as the store has it."""
    key = StateKey("app", application(bench).record.generation, uid)
    return dict(bench.selection_store.states[key].values)


def book(bench: Bench) -> dict[str, float]:
    """Return what the store has of the present policy's doings."""
    return open_book(state(bench), application(bench).policy.name)


async def learn(bench: Bench, *feedback: Feedback) -> list[bool]:
    """Send feedback while time goes on."""
    task = asyncio.create_task(bench.feedback.learn(application(bench), feedback))
    for _ in range(10):
        await asyncio.sleep(0)
        bench.clock.settle()
    return await asyncio.wait_for(task, 5)


def by_arm(values: dict[str, float], kind: str) -> dict[str, float]:
    """Return the numbers of one kind by model name."""
    found = {}
    for field, value in values.items():
        if field.startswith(f"{kind}/"):
            found[field.partition("/")[2].partition(":")[0]] = value
    return found


async def test_feedback_on_a_query_teaches_what_its_models_said() -> None:
    bench = Bench()
    containers = serve(bench, "exp4", "ab", policy_options={"variant": "c"})
    await bench.states.read_applications()
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    say(containers["b"], "dog")
    bench.clock.advance(0.1)

    assert await learn(bench, Feedback("cat", query_id=only(request).query_id)) == [True]

    weights = by_arm(state(bench), "w")
    assert weights["a"] > weights["b"]
    assert sum(len(container.inputs) for container in containers.values()) == 2, "nothing again"
    [entry] = map(decode_feedback, bench.selection_store.entries)
    assert (entry.label, sorted(entry.losses.values())) == ("cat", [0.0, 1.0])


async def test_feedback_on_the_same_query_counts_once() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", "a")
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    item = Feedback("cat", query_id=only(request).query_id)

    assert await learn(bench, item) == [True]
    assert await learn(bench, item) == [False]

    assert book(bench)["led/n"] == 1.0
    assert len(bench.selection_store.entries) == 1


async def test_feedback_with_a_key_counts_once_and_without_one_each_time() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", "a")
    bench.ask(b"x")
    say(containers["a"], "cat")
    keyed = Feedback("cat", input=b"x", idempotency_key="key 1")
    bare = Feedback("cat", input=b"x")

    assert await learn(bench, keyed, bare, bare) == [True, True, True]
    assert await learn(bench, keyed) == [False]

    assert book(bench)["led/n"] == 3.0


async def test_feedback_on_an_input_takes_predictions_from_the_cache() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", "ab")
    bench.ask(b"x")
    say(containers["a"], "cat")
    say(containers["b"], "dog")

    assert await learn(bench, Feedback("dog", input=b"x")) == [True]

    assert sum(len(container.inputs) for container in containers.values()) == 2
    [entry] = map(decode_feedback, bench.selection_store.entries)
    assert sorted(entry.losses.values()) == [0.0, 1.0]


async def test_what_is_not_known_any_more_is_computed_for_feedback() -> None:
    bench = Bench(cache_bytes=0)
    containers = serve(bench, "ensemble", "ab")
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    bench.clock.advance(0.1)
    say(containers["b"], "too late, and kept nowhere")
    learning = asyncio.create_task(learn(bench, Feedback("dog", query_id=only(request).query_id)))
    await _until_asked(bench, containers["b"], 2)
    containers["b"].answer(1, [b"dog"])

    assert await learning == [True]
    [entry] = map(decode_feedback, bench.selection_store.entries)
    assert sorted(entry.losses.values()) == [0.0, 1.0]


async def _until_asked(bench: Bench, container: Container, batches: int) -> None:
    async with asyncio.timeout(5):
        while len(container.inputs) < batches:
            await asyncio.sleep(0)
            bench.clock.settle()


async def test_feedback_of_a_user_teaches_the_users_state_and_the_applications() -> None:
    bench = Bench()
    containers = serve(bench, "epsilon-greedy", "a")
    await bench.states.read_applications()
    bench.ask(b"x")
    say(containers["a"], "cat")

    await learn(bench, Feedback("dog", input=b"x", uid="ann"))

    assert by_arm(state(bench, "ann"), "loss")["a"] == pytest.approx(1.0)
    assert by_arm(state(bench), "loss")["a"] == pytest.approx(1.0)
    assert book(bench)["led/n"] == 1.0
    assert open_book(state(bench, "ann"), "epsilon-greedy") == {}


async def test_this_workers_next_query_knows_what_was_learned() -> None:
    bench = Bench()
    containers = serve(bench, "epsilon-greedy", "ab", policy_options={"epsilon": 0.0})
    await bench.states.read_applications()
    for number in range(4):
        request = bench.ask(b"%d" % number)
        for container in containers.values():
            if container.inputs and len(container.inputs[-1]):
                pass
        asked = bench.choices
        bench.clock.settle()
        [name] = [
            name
            for name, container in containers.items()
            if any(b"%d" % number in batch for batch in container.inputs)
        ]
        say(containers[name], "right" if name == "b" else "wrong")
        assert asked is bench.choices
        await learn(bench, Feedback("right", query_id=only(request).query_id))

    request = bench.ask(b"last")
    assert [b"last"] in containers["b"].inputs
    assert not only(request).done


async def test_an_unknown_query_is_refused_by_the_fields_name_and_nothing_is_stored() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", "a")
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    good = Feedback("cat", query_id=only(request).query_id)
    bad = Feedback("cat", query_id=12345, field="updates[1].query_id")

    with pytest.raises(InvalidRequest, match=r"updates\[1\]\.query_id: no query 12345"):
        await learn(bench, good, bad)

    assert bench.selection_store.entries == []


async def test_a_query_of_an_earlier_registration_teaches_nothing() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", "a")
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    serve(bench, "exp3", "b")

    with pytest.raises(InvalidRequest, match=r"^query_id: .*was deleted"):
        await learn(bench, Feedback("cat", query_id=only(request).query_id))

    assert bench.selection_store.entries == []


async def test_a_query_that_another_policy_answered_teaches_this_one_nothing() -> None:
    bench = Bench()
    containers = serve(bench, "static", "ab")
    await bench.states.read_applications()
    before = bench.ask(b"x")
    say(containers["a"], "cat")
    bench.configure([dataclasses.replace(application(bench).record, policy="exp3")])
    await bench.states.read_applications()

    assert await learn(bench, Feedback("dog", query_id=only(before).query_id)) == [True]
    assert by_arm(state(bench), "w") == {}, "a was asked whatever would have come of it"
    assert book(bench) == {}, "it is not this policy's loss"
    assert open_book(state(bench), "static")["led/loss"] == 1.0

    after = bench.ask(b"y")
    say(containers["a"] if containers["a"].inputs[1:] else containers["b"], "cat")
    await learn(bench, Feedback("dog", query_id=only(after).query_id))
    assert min(by_arm(state(bench), "w").values()) < 0.0
    assert book(bench)["led/loss"] == 1.0


async def test_feedback_that_cannot_be_stored_says_so_and_teaches_nothing() -> None:
    bench = Bench()
    containers = serve(bench, "exp3", "a")
    await bench.states.read_applications()
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    bench.selection_store.up = False

    with pytest.raises(StoreUnavailable):
        await learn(bench, Feedback("cat", query_id=only(request).query_id))

    assert bench.states.of_application(application(bench)) == {}


async def test_shadows_are_compared_with_the_label_too() -> None:
    bench = Bench()
    containers = serve(bench, "shadow", "ab", policy_options={"model": "a"})
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    bench.clock.settle()
    say(containers["b"], "dog")

    await learn(bench, Feedback("dog", query_id=only(request).query_id))

    [entry] = map(decode_feedback, bench.selection_store.entries)
    assert {key.partition(":")[0]: value for key, value in entry.losses.items()} == {
        "a": 1.0,
        "b": 0.0,
    }
    assert entry.answer_loss == 1.0


@pytest.mark.parametrize(
    ("loss", "expected"), [("zero-one", 1.0), ("absolute", 0.25), ("squared", 0.0625)]
)
async def test_the_loss_is_the_one_the_application_was_registered_with(
    loss: str, expected: float
) -> None:
    bench = Bench()
    fields: dict[str, Any] = {"loss": loss, "loss_scale": 2.0}
    containers = serve(bench, "static", "a", **fields)
    request = bench.ask(b"x")
    say(containers["a"], "3.5")

    await learn(bench, Feedback("4", query_id=only(request).query_id))

    [entry] = map(decode_feedback, bench.selection_store.entries)
    assert entry.answer_loss == pytest.approx(expected)


async def test_a_long_list_is_learned_in_parts_between_which_others_have_their_turn() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", "a")
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    named = Feedback("cat", query_id=only(request).query_id)
    bare = [Feedback("cat", input=b"x", idempotency_key=f"key {n}") for n in range(1000)]
    task = asyncio.create_task(bench.feedback.learn(application(bench), [*bare, named]))
    seen = set()
    while not task.done():
        await asyncio.sleep(0)
        seen.add(len(bench.selection_store.entries))

    assert await task == [True] * 1001
    assert len(seen) >= 10
    assert book(bench)["led/n"] == 1001.0
