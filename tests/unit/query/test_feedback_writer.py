"""Feedback is written in groups, and everybody hears what became of theirs."""

from __future__ import annotations

import asyncio

import pytest

from clipper.errors import InvalidRequest, StoreUnavailable
from clipper.query.feedback_writer import FeedbackWriter, FeedbackWriterSettings
from clipper.store.selection import FeedbackWrite, Increment, StateKey, StateUpdate
from tests.fakes.fake_selection_store import FakeSelectionStore

KEY = StateKey("app", 1)


def feedback(name: str, entry: bytes | None = None) -> FeedbackWrite:
    return FeedbackWrite(name, [StateUpdate(KEY, [Increment("count", 1.0)])], entry)


def start(writer: FeedbackWriter, *names: str, app: str = "app") -> list[asyncio.Task[bool]]:
    return [asyncio.create_task(writer.write(app, 1, feedback(name))) for name in names]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def store() -> FakeSelectionStore:
    return FakeSelectionStore()


async def test_the_first_goes_at_once_and_what_arrives_meanwhile_goes_together(
    store: FakeSelectionStore,
) -> None:
    writer = FeedbackWriter(store)
    store.open.clear()
    first = start(writer, "a")
    await settle()
    later = start(writer, "b", "c", "d")
    await settle()
    assert store.batches == [["a"]], "one at a time is on its way"
    store.open.set()
    assert await asyncio.gather(*first, *later) == [True] * 4
    assert store.batches == [["a"], ["b", "c", "d"]]


async def test_applications_do_not_wait_for_each_other(store: FakeSelectionStore) -> None:
    writer = FeedbackWriter(store)
    store.open.clear()
    tasks = start(writer, "a") + start(writer, "a", app="other")
    await settle()
    assert store.writing == 2
    store.open.set()
    await asyncio.wait(tasks)


async def test_each_hears_whether_theirs_was_new(store: FakeSelectionStore) -> None:
    writer = FeedbackWriter(store)
    assert await asyncio.gather(*start(writer, "a", "b", "a")) == [True, True, False]
    assert store.states[KEY].values == {"count": 2.0}


async def test_batches_are_limited_in_number_and_bytes(store: FakeSelectionStore) -> None:
    writer = FeedbackWriter(store, FeedbackWriterSettings(batch=3, batch_bytes=10))
    sizes = {"a": 1, "b": 1, "c": 1, "d": 6, "e": 6, "f": 99, "g": 4}
    await asyncio.gather(
        *(writer.write("app", 1, feedback(name, b"x" * size)) for name, size in sizes.items())
    )
    assert store.batches == [["a", "b", "c"], ["d"], ["e"], ["f"], ["g"]]


async def test_too_much_is_refused_with_the_next_step_and_the_rest_is_kept(
    store: FakeSelectionStore,
) -> None:
    writer = FeedbackWriter(store, FeedbackWriterSettings(max_waiting=2))
    store.open.clear()
    kept = start(writer, "a")
    await settle()
    kept += start(writer, "b", "c")
    await settle()
    with pytest.raises(StoreUnavailable, match=r"too much feedback for the application app.*later"):
        await writer.write("app", 1, feedback("d"))
    store.open.set()
    assert await asyncio.gather(*kept) == [True] * 3


async def test_a_failed_write_fails_those_in_it_alone_and_is_safe_to_repeat(
    store: FakeSelectionStore,
) -> None:
    writer = FeedbackWriter(store)
    store.open.clear()
    store.lose_answers = True
    doomed = start(writer, "a")
    await settle()
    store.open.set()
    with pytest.raises(StoreUnavailable, match="answer was lost"):
        await doomed[0]
    store.lose_answers = False
    again = start(writer, "a", "b")
    assert await asyncio.gather(*again) == [False, True]
    assert store.states[KEY].values == {"count": 2.0}


async def test_whoever_has_gone_before_the_write_is_left_out(store: FakeSelectionStore) -> None:
    writer = FeedbackWriter(store)
    store.open.clear()
    first = start(writer, "a")
    await settle()
    second, third = start(writer, "b", "c")
    await settle()
    second.cancel()
    store.open.set()
    assert await asyncio.gather(*first, third) == [True, True]
    assert store.batches == [["a"], ["c"]]


async def test_a_fault_of_the_store_reaches_those_who_wait_and_the_next_is_written(
    store: FakeSelectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = FeedbackWriter(store)
    with monkeypatch.context() as patch:
        patch.setattr(store, "_write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await writer.write("app", 1, feedback("a"))
    assert await writer.write("app", 1, feedback("b"))


async def test_drain_waits_for_everything(store: FakeSelectionStore) -> None:
    writer = FeedbackWriter(store, FeedbackWriterSettings(batch=1))
    tasks = start(writer, "a", "b", "c")
    await asyncio.sleep(0)
    await writer.drain()
    assert store.batches == [["a"], ["b"], ["c"]]
    assert await asyncio.gather(*tasks) == [True] * 3
    await writer.drain()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_would_spoil_a_state_are_refused_by_name(number: float) -> None:
    for changes in (
        {"increments": [Increment("loss/a", number)]},
        {"increments": [Increment("loss/a", 0.0, number)]},
        {"increments": [], "seed": {"loss/a": number}},
    ):
        with pytest.raises(InvalidRequest, match=r"'loss/a'.*finite"):
            StateUpdate(KEY, **changes)  # type: ignore[arg-type]
