"""Query ids, feedback, and policies that fail."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from clipper.datatypes import Output, VersionedModelId
from clipper.errors import InvalidRequest, StoreUnavailable
from clipper.query.processor import QueryIds
from clipper.selection.default_output import DefaultOutputPolicy
from clipper.selection.policy import Combined, Feedback

from .support import Bench, answer


class CountingPolicy(DefaultOutputPolicy):
    """Keeps the labels; forgets the one labelled 0."""

    def __init__(self) -> None:
        self.seen: list[dict[VersionedModelId, Output]] = []

    def observe(
        self, state: bytes, feedback: Feedback, outputs: Mapping[VersionedModelId, Output]
    ) -> bytes:
        self.seen.append(dict(outputs))
        return state + b"%g" % feedback.label if feedback.label else state


class BrokenPolicy(DefaultOutputPolicy):
    def combine(self, state: bytes, outputs: Mapping[VersionedModelId, Output]) -> Combined:
        raise ArithmeticError("no")


def test_ids_of_different_epochs_never_meet() -> None:
    first, second = QueryIds(3), QueryIds(4)
    first._counter = (1 << 32) - 1

    assert first.next() < second.next()


def test_ids_stay_below_two_to_the_53rd() -> None:
    ids = QueryIds((1 << 21) - 1)
    ids._counter = (1 << 32) - 1
    assert ids.next() == (1 << 53) - 1

    assert QueryIds((1 << 21) + 5).next() == 5 << 32


def test_the_counter_rolls_over_to_the_spare_epoch() -> None:
    ids = QueryIds(3)
    assert not ids.wants_spare
    ids._counter = (1 << 31) + 1
    assert ids.wants_spare
    ids.spare_epoch = 9
    assert not ids.wants_spare
    ids._counter = (1 << 32) - 1

    assert [ids.next(), ids.next(), ids.next()] == [(4 << 32) - 1, 9 << 32, (9 << 32) + 1]
    assert ids.spare_epoch is None
    assert not ids.wants_spare


def test_without_a_spare_epoch_no_id_of_another_worker_is_used() -> None:
    ids = QueryIds(3)
    ids._counter = 1 << 32

    assert ids.next() == 3 << 32
    assert ids.next() == (3 << 32) + 1


async def feedback(bench: Bench, uid: int, label: float = 1.0, data: bytes = b"x") -> bool:
    application = bench.applications.get("app")
    assert application is not None
    return await bench.processor.feedback(application, uid, data, Feedback(label))


async def test_feedback_is_acknowledged_only_for_users_with_a_state() -> None:
    bench = Bench()
    bench.serve()
    bench.store.states["app", "0@1"] = b"state"

    assert await feedback(bench, 0)
    assert not await feedback(bench, 1)
    assert bench.store.state_writes == 0, "this policy learns nothing"


async def test_a_policy_learns_from_known_predictions_and_only_changes_are_written() -> None:
    bench = Bench()
    container = bench.serve()
    policy = CountingPolicy()
    application = bench.applications.get("app")
    assert application is not None
    application.policy = policy
    bench.store.states["app", "0@1"] = b"s"
    bench.ask(b"x")
    container.answer()

    await feedback(bench, 0, 7.0)
    await feedback(bench, 0, 0.0, b"never asked")

    [known, unknown] = policy.seen
    assert [output.text for output in known.values()] == [b"out:x"]
    assert unknown == {}
    assert bench.store.states["app", "0@1"] == b"s7"
    assert bench.store.state_writes == 1


async def test_feedback_at_the_same_moment_is_all_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.serve()
    application = bench.applications.get("app")
    assert application is not None
    application.policy = CountingPolicy()
    bench.store.states["app", "0@1"] = b"s"
    read = bench.store.read_state

    async def read_before_another_writes(app: str, uid: str) -> bytes | None:
        state = await read(app, uid)
        if state == b"s":
            bench.store.states[app, uid] = b"s5"
        return state

    monkeypatch.setattr(bench.store, "read_state", read_before_another_writes)

    assert await feedback(bench, 0, 7.0)
    assert bench.store.states["app", "0@1"] == b"s57"


async def test_feedback_that_never_gets_a_turn_ends_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    bench.serve()
    application = bench.applications.get("app")
    assert application is not None
    application.policy = CountingPolicy()
    bench.store.states["app", "0@1"] = b"s"

    async def always_late(app: str, uid: str, before: bytes, after: bytes) -> bool:
        return False

    monkeypatch.setattr(bench.store, "replace_state", always_late)

    with pytest.raises(StoreUnavailable, match="send the feedback again"):
        await feedback(bench, 0, 7.0)


async def test_feedback_without_the_store_says_so() -> None:
    bench = Bench()
    bench.serve()
    bench.store.up = False

    with pytest.raises(StoreUnavailable):
        await feedback(bench, 0)


async def test_state_of_an_earlier_registration_is_not_found() -> None:
    bench = Bench()
    bench.serve()
    bench.store.states["app", "0@1"] = b"state"
    bench.configure([bench.app_record()])

    assert not await feedback(bench, 0)


def test_a_policy_that_raises_ends_its_own_request_and_no_other() -> None:
    bench = Bench()
    container = bench.serve()
    bench.configure([bench.app_record("sound")], links={"sound": ("m",)})
    application = bench.applications.get("app")
    assert application is not None
    application.policy = BrokenPolicy()

    broken, sound = bench.ask(b"x"), bench.ask(b"x", app="sound")
    expired = bench.ask(b"y")
    container.answer(0)
    bench.clock.advance(0.1)

    assert isinstance(broken.error, ArithmeticError)
    assert broken.pending == 0
    assert answer(sound) == "out:x"
    assert expired.pending == 0


def test_an_unknown_policy_refuses_queries_and_feedback() -> None:
    bench = Bench()
    bench.serve(app={"policy": "Exp9"})

    with pytest.raises(InvalidRequest) as caught:
        bench.ask(b"x")

    assert caught.value.msg == "Exp9 is an invalid  selection_policy."
