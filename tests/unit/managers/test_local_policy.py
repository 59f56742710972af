from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper.managers.local_policy import (
    ReplicaView,
    RestartHistory,
    failing,
    plan_replicas,
)


def test_delays_double_up_to_five_seconds() -> None:
    history = RestartHistory()
    delays = [history.observe_exit(1, ran_s=0.5) for _ in range(9)]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])
    for _ in range(3000):
        history.observe_exit(1, ran_s=0.0)
    assert history.observe_exit(1, ran_s=0.0) == 5.0


def test_a_process_that_ran_ten_seconds_starts_over() -> None:
    history = RestartHistory()
    for _ in range(5):
        history.observe_exit(1, ran_s=9.99)
    assert history.observe_exit(-9, ran_s=10.0) == 0.1
    assert (history.restarts, history.early_deaths, history.last_exit) == (6, 0, -9)
    assert history.observe_exit(1, ran_s=0.0) == 0.1


def test_growing_fills_gaps_and_keeps_what_runs() -> None:
    plan = plan_replicas(4, "new", {0: "new", 2: "new"})
    assert (plan.start, plan.stop) == ((1, 3), ())


def test_shrinking_stops_the_highest() -> None:
    plan = plan_replicas(1, "new", {0: "new", 1: "new", 5: "new"})
    assert (plan.start, plan.stop) == ((), (1, 5))
    assert plan_replicas(0, "new", {0: "new"}).stop == (0,)


def test_a_changed_specification_replaces_under_new_indices() -> None:
    plan = plan_replicas(2, "new", {0: "old", 1: "old"})
    assert (plan.start, plan.stop) == ((2, 3), (0, 1))


@given(
    desired=st.integers(0, 8),
    running=st.dictionaries(st.integers(0, 12), st.sampled_from(["old", "new"]), max_size=10),
)
def test_a_carried_out_plan_is_what_was_desired(desired: int, running: dict[int, str]) -> None:
    plan = plan_replicas(desired, "new", running)
    assert not set(plan.start) & set(running)
    after = {**running, **dict.fromkeys(plan.start, "new")}
    left = {index: spec for index, spec in after.items() if index not in plan.stop}
    assert list(left.values()) == ["new"] * desired
    again = plan_replicas(desired, "new", left)
    assert (again.start, again.stop) == ((), ())


def view(
    early_deaths: int = 0, last_exit: int | None = None, uptime_s: float | None = 1.0
) -> ReplicaView:
    return ReplicaView(early_deaths, last_exit, uptime_s)


def test_one_early_death_is_forgiven_two_are_not() -> None:
    assert failing([]) is None
    assert failing([view()]) is None
    assert failing([view(1, 1)]) is None
    assert failing([view(2, 1)]) == view(2, 1)
    assert failing([view(1, 1), view(1, 1)]) is not None


def test_a_missing_package_is_hopeless_at_once() -> None:
    assert failing([view(0), view(1, 3, None)]) == view(1, 3, None)


def test_a_replica_that_now_runs_is_not_failing() -> None:
    assert failing([view(7, 1, uptime_s=10.0)]) is None
    assert failing([view(1, 3, uptime_s=10.0)]) is None
