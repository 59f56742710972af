from __future__ import annotations

from collections.abc import Callable

import pytest

from clipper.batching.wake import LATE_S, Wake
from tests.fakes.virtual_clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def events() -> list[str]:
    return []


def waking(clock: VirtualClock, events: list[str], *, may_read: bool = True) -> Wake:
    return Wake(clock, lambda: events.append("woken"), may_read=lambda: may_read)


def loop_is_busy(clock: VirtualClock, events: list[str], busy_s: float) -> Callable[[], None]:
    """Return what keeps the loop so long that a query, meanwhile arrived, has yet to be read."""

    def work() -> None:
        clock.stall(busy_s)
        clock.call_soon(lambda: events.append("read"))

    return work


def test_the_earliest_time_counts(clock: VirtualClock, events: list[str]) -> None:
    wake = waking(clock, events)
    wake.within(0.003)
    wake.within(0.001)
    wake.within(0.002)
    clock.advance(0.0009)
    assert events == []
    clock.advance(0.0002)
    assert events == ["woken"]
    assert wake.call is None
    clock.advance(1.0)
    assert events == ["woken"]


def test_nobody_is_woken_after_a_cancel(clock: VirtualClock, events: list[str]) -> None:
    wake = waking(clock, events)
    wake.within(0.001)
    wake.cancel()
    assert wake.call is None
    clock.advance(1.0)
    assert events == []


@pytest.mark.parametrize(
    ("busy_s", "may_read", "order"),
    [
        (0.001 + 2 * LATE_S, True, ["read", "woken"]),
        (0.001 + 2 * LATE_S, False, ["woken", "read"]),
        (0.001 + LATE_S / 2, True, ["woken", "read"]),
    ],
)
def test_a_late_timer_lets_what_arrived_be_read_where_there_is_time(
    clock: VirtualClock, events: list[str], busy_s: float, may_read: bool, order: list[str]
) -> None:
    wake = waking(clock, events, may_read=may_read)
    wake.within(0.001)
    clock.call_soon(loop_is_busy(clock, events, busy_s))
    clock.advance(0.01)
    assert events == order


def test_a_cancel_reaches_who_waits_for_the_reading(clock: VirtualClock, events: list[str]) -> None:
    wake = waking(clock, events)
    wake.within(0.001)
    clock.stall(0.01)
    clock.call_later(0.0, wake.cancel)
    clock.settle()
    assert events == []
    assert wake.call is None
