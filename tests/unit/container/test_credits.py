from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from clipper.container.credits import MAX_BATCHES, CreditScheduler, Grant

AHEAD = Grant(1, 2, hold=True, hold_changed=True)


def use_now(stream: int) -> Grant:
    return Grant(stream, 1, hold=False, hold_changed=False)


def two_streams() -> CreditScheduler:
    """Two streams, nothing granted, nothing outstanding."""
    scheduler = CreditScheduler()
    assert scheduler.stream_added(1) == [AHEAD]
    assert scheduler.stream_added(2) == [
        Grant(1, 0, hold=False, hold_changed=True),
        Grant(2, 0, hold=False, hold_changed=True),
    ]
    assert scheduler.credit_returned(1, 2) == []
    return scheduler


def test_a_single_stream_holds_two_credits_ahead() -> None:
    scheduler = CreditScheduler()
    assert scheduler.stream_added(1) == [AHEAD]
    assert scheduler.batch_received(1, None) == []
    assert scheduler.batch_received(1, 5.0) == []
    assert scheduler.batch_done(1) == [Grant(1, 1, hold=True, hold_changed=False)]


def test_returned_credits_of_a_single_stream_are_granted_again() -> None:
    scheduler = CreditScheduler()
    scheduler.stream_added(1)
    assert scheduler.credit_returned(1, 1) == [Grant(1, 1, hold=True, hold_changed=False)]


def test_held_credits_are_called_back_before_others_get_any() -> None:
    scheduler = CreditScheduler()
    scheduler.stream_added(1)
    scheduler.stream_added(2)
    assert scheduler.demand(2, 1.0) == []
    assert scheduler.credit_returned(1, 2) == [use_now(2)]


def test_the_most_urgent_stream_is_served_first_and_asks_anew_after_each_grant() -> None:
    scheduler = two_streams()
    assert scheduler.demand(1, 10.0) == [use_now(1)]
    assert scheduler.demand(1, 10.0) == [use_now(1)]
    scheduler.batch_received(1, 9.0)
    scheduler.batch_received(1, 8.0)
    assert scheduler.demand(2, 3.0) == []
    assert scheduler.batch_done(1) == [use_now(2)]
    assert scheduler.batch_done(1) == [use_now(1)]


def test_a_batch_without_demand_behind_it_withdraws_the_demand() -> None:
    scheduler = two_streams()
    scheduler.demand(1, 10.0)
    scheduler.demand(1, 10.0)
    scheduler.batch_received(1, 8.0)
    scheduler.batch_received(1, None)
    assert scheduler.batch_done(1) == []


def test_a_returned_credit_withdraws_the_demand_and_goes_to_another() -> None:
    scheduler = two_streams()
    scheduler.demand(1, 1.0)
    scheduler.demand(1, 1.0)
    scheduler.demand(1, 1.0)
    scheduler.demand(2, 5.0)
    assert scheduler.credit_returned(1, 1) == [use_now(2)]
    assert scheduler.credit_returned(2, 1) == []


def test_equal_deadlines_take_turns() -> None:
    scheduler = two_streams()
    for stream in (1, 1, 1, 2):
        scheduler.demand(stream, 4.0)
    scheduler.batch_received(1, 4.0)
    assert scheduler.batch_done(1) == [use_now(2)]


def test_a_dead_stream_frees_its_credits_and_batches() -> None:
    scheduler = two_streams()
    scheduler.demand(1, 1.0)
    scheduler.demand(1, 1.0)
    scheduler.batch_received(1, None)
    assert scheduler.stream_removed(1) == [Grant(2, 2, hold=True, hold_changed=True)]
    assert scheduler.batch_done(1) == []


def test_the_last_stream_hears_that_it_may_hold_even_when_nothing_is_free() -> None:
    scheduler = two_streams()
    scheduler.demand(2, 1.0)
    scheduler.demand(2, 1.0)
    assert scheduler.stream_removed(1) == [Grant(2, 0, hold=True, hold_changed=True)]


def test_a_closing_stream_gives_its_credits_up_but_not_its_batches() -> None:
    scheduler = two_streams()
    scheduler.demand(1, 1.0)
    scheduler.demand(1, 1.0)
    scheduler.batch_received(1, 1.0)
    assert scheduler.stream_closing(1) == [Grant(2, 1, hold=True, hold_changed=True)]
    assert scheduler.demand(1, 0.0) == []
    assert scheduler.batch_done(1) == [Grant(2, 1, hold=True, hold_changed=False)]


def test_nothing_is_granted_after_stop() -> None:
    scheduler = two_streams()
    scheduler.stop()
    assert scheduler.demand(1, 1.0) == []
    assert scheduler.stream_removed(2) == []


class Frontends(RuleBasedStateMachine):
    """Any number of frontends that keep the rules, in any order of events."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = CreditScheduler()
        self.credits: dict[int, int] = {}
        self.holds: dict[int, bool] = {}
        self.outstanding: dict[int, int] = {}
        self.next = 1

    def take(self, grants: list[Grant]) -> None:
        for grant in grants:
            self.credits[grant.stream] += grant.credits
            self.holds[grant.stream] = grant.hold

    def pick(self, data: st.DataObject, among: dict[int, int]) -> int:
        return data.draw(st.sampled_from(sorted(n for n, c in among.items() if c > 0)))

    @rule()
    def add(self) -> None:
        number, self.next = self.next, self.next + 1
        self.credits[number], self.holds[number], self.outstanding[number] = 0, True, 0
        self.take(self.scheduler.stream_added(number))

    @precondition(lambda self: self.credits)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.credits)))
        for table in (self.credits, self.holds, self.outstanding):
            del table[number]
        self.take(self.scheduler.stream_removed(number))

    @precondition(lambda self: any(self.credits.values()))
    @rule(data=st.data(), behind=st.none() | st.floats(0, 10))
    def batch(self, data: st.DataObject, behind: float | None) -> None:
        number = self.pick(data, self.credits)
        self.credits[number] -= 1
        self.outstanding[number] += 1
        self.take(self.scheduler.batch_received(number, behind))

    @precondition(lambda self: any(self.outstanding.values()))
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        number = self.pick(data, self.outstanding)
        self.outstanding[number] -= 1
        self.take(self.scheduler.batch_done(number))

    @precondition(lambda self: any(self.credits.values()))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        number = self.pick(data, self.credits)
        count, self.credits[number] = self.credits[number], 0
        self.take(self.scheduler.credit_returned(number, count))

    @precondition(lambda self: self.credits)
    @rule(data=st.data(), deadline=st.none() | st.floats(0, 10))
    def ask(self, data: st.DataObject, deadline: float | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.credits)))
        self.take(self.scheduler.demand(number, deadline))

    @invariant()
    def never_more_than_two(self) -> None:
        assert sum(self.credits.values()) + sum(self.outstanding.values()) <= MAX_BATCHES

    @invariant()
    def a_single_stream_holds_all_that_is_free(self) -> None:
        if len(self.credits) == 1:
            [(number, held)] = self.credits.items()
            assert self.holds[number]
            assert held + self.outstanding[number] == MAX_BATCHES
        else:
            assert not any(self.holds.values())


TestFrontends = Frontends.TestCase
