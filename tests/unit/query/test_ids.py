"""Query ids."""

from __future__ import annotations

from clipper.query.ids import QueryIds


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
