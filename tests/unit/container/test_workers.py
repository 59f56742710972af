from __future__ import annotations

import pytest

from clipper.container.workers import FORGET_UNLISTED_S, WorkerDirectory, pause_s


def test_pauses_double_up_to_two_seconds_and_later_to_five() -> None:
    assert [pause_s(n, 0.0, 1.0) for n in range(7)] == pytest.approx(
        [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    )
    assert pause_s(1000, 301.0, 1.0) == 5.0
    assert pause_s(3, 0.0, 0.0) == pytest.approx(0.4)


def test_only_new_workers_are_dialled() -> None:
    directory = WorkerDirectory()
    assert directory.listed([("a", "h:1"), ("b", "h:2")], 0.0) == ["a", "b"]
    assert directory.listed([("b", "h:2"), ("c", "h:3")], 1.0) == ["c"]
    assert directory.addresses_of(["b", "c", "unknown"]) == {"h:2", "h:3"}


def test_an_unlisted_worker_is_forgotten_only_after_half_a_minute() -> None:
    directory = WorkerDirectory()
    directory.listed([("a", "h:1")], 0.0)
    directory.listed([], 10.0)
    directory.listed([], 30.0)
    assert directory.address("a", 10.0 + FORGET_UNLISTED_S - 0.1) == "h:1"
    assert directory.address("a", 10.0 + FORGET_UNLISTED_S) is None


def test_a_worker_that_is_listed_again_stays_under_its_latest_address() -> None:
    directory = WorkerDirectory()
    directory.listed([("a", "h:1")], 0.0)
    directory.listed([], 1.0)
    assert directory.listed([("a", "h:9")], 2.0) == []
    assert directory.address("a", 1000.0) == "h:9"


def test_a_worker_that_dismissed_the_container_is_not_dialled_again() -> None:
    directory = WorkerDirectory()
    directory.listed([("a", "h:1")], 0.0)
    directory.dismissed("a")
    assert directory.listed([("a", "h:1")], 1.0) == []
    assert directory.address("a", 1.0) is None
