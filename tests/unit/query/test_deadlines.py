"""One timer for all deadlines: never early, never forgotten, bounded in memory."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper.query.deadlines import DeadlineLines
from tests.fakes.virtual_clock import VirtualClock


@dataclasses.dataclass
class Item:
    clock: VirtualClock
    deadline_s: float
    done: bool = False
    expired_s: float | None = None

    def expire(self) -> None:
        assert not self.done
        self.done = True
        self.expired_s = self.clock.now()


class CountingClock(VirtualClock):
    """Knows how many timers are set, and can run them early, as an event loop may."""

    def __init__(self, early_s: float = 0.0) -> None:
        super().__init__()
        self.early_s = early_s
        self.timers = 0

    def call_later(self, delay_s, callback):  # type: ignore[no-untyped-def]
        self.timers += 1
        return super().call_later(max(0.0, delay_s - self.early_s), callback)


def add(lines: DeadlineLines, clock: VirtualClock, slo_s: float) -> Item:
    item = Item(clock, clock.now() + slo_s)
    lines.add(item, slo_s)
    return item


def test_items_of_different_objectives_expire_in_the_order_of_their_deadlines() -> None:
    clock = VirtualClock()
    lines = DeadlineLines(clock)
    begun_s = clock.now()
    items = [add(lines, clock, slo_s) for slo_s in (0.5, 0.1, 0.3, 0.1)]

    clock.advance(1.0)

    assert [item.expired_s for item in items] == [begun_s + s for s in (0.5, 0.1, 0.3, 0.1)]
    assert len(lines) == 0


def test_a_timer_that_fires_early_expires_nothing_early() -> None:
    clock = CountingClock(early_s=0.0009)
    lines = DeadlineLines(clock)
    item = add(lines, clock, 0.02)

    clock.advance(0.0195)
    assert not item.done
    clock.advance(0.002)

    assert item.expired_s is not None
    assert item.deadline_s <= item.expired_s <= item.deadline_s + 0.001


def test_a_deadline_in_the_past_expires_with_the_next_tick() -> None:
    clock = VirtualClock()
    lines = DeadlineLines(clock)
    item = Item(clock, clock.now() - 1.0)

    lines.add(item, 0.000001)
    assert not item.done
    clock.advance(0.001)

    assert item.done


def test_one_timer_serves_a_thousand_queries_that_are_answered_in_time() -> None:
    clock = CountingClock()
    lines = DeadlineLines(clock)
    for _ in range(1000):
        add(lines, clock, 0.1).done = True
        clock.advance(0.001)

    assert clock.timers <= 12, "about one for each objective's length of time"
    assert len(lines) <= 1


def test_answered_queries_behind_a_slow_one_are_swept_out() -> None:
    clock = VirtualClock()
    lines = DeadlineLines(clock)
    slow = add(lines, clock, 1000.0)
    for _ in range(10_000):
        add(lines, clock, 1000.0).done = True

    assert len(lines) <= 1024
    clock.advance(1000.0)
    assert slow.expired_s == slow.deadline_s


def test_living_queries_are_not_swept_out() -> None:
    clock = VirtualClock()
    lines = DeadlineLines(clock)
    items = [add(lines, clock, 10.0) for _ in range(5000)]
    for item in items[::2]:
        item.done = True

    clock.advance(10.0)

    assert all(item.done for item in items)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.001, 0.01, 0.05, 0.2]),
            st.floats(0, 0.05),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_every_unanswered_query_expires_at_its_deadline(
    steps: list[tuple[float, float, bool]],
) -> None:
    clock = VirtualClock()
    lines = DeadlineLines(clock)
    unanswered = []
    for slo_s, pause_s, answered in steps:
        item = add(lines, clock, slo_s)
        if answered:
            item.done = True
        else:
            unanswered.append(item)
        clock.advance(pause_s)
    clock.advance(0.3)

    for item in unanswered:
        assert item.expired_s is not None
        assert item.expired_s >= item.deadline_s
        assert item.expired_s == pytest.approx(item.deadline_s, abs=0.00101)
    assert len(lines) == 0
