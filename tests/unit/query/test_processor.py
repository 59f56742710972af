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
