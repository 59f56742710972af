"""The simulator itself: what it measures must be what a queue really does."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.simulation.arrivals import gamma, poisson
from benchmarks.simulation.bench import Bench
from benchmarks.simulation.clock import EventClock
from benchmarks.simulation.cost import CostModel, slowed, steady
from benchmarks.simulation.replica import SimulatedReplica
from clipper.batching.fixed import FixedPolicy


def test_events_run_in_the_order_of_their_times_and_calls_of_the_present_first() -> None:
    clock = EventClock()
    seen: list[str] = []
    start_s = clock.now()
    clock.call_later(0.2, lambda: seen.append("later"))
    clock.call_later(0.1, lambda: clock.call_soon(lambda: seen.append("soon")))
    clock.call_later(0.1, lambda: seen.append("same time"))
    clock.call_later(0.15, lambda: seen.append("never")).cancel()

    clock.run(start_s + 1, [start_s + 0.05], lambda: seen.append("arrival"))

    assert seen == ["arrival", "soon", "same time", "later"]
    assert clock.now() == start_s + 1


def test_arrivals_have_the_rate_and_the_burstiness_that_was_asked_for() -> None:
    for times_s, squared_cv in (
        (list(poisson(1000.0, 5.0, 25.0, 1)), 1.0),
        (list(gamma(1000.0, 4.0, 5.0, 25.0, 1)), 4.0),
    ):
        gaps_s = [later - earlier for earlier, later in itertools.pairwise(times_s)]
        mean_s = sum(gaps_s) / len(gaps_s)
        variance = sum((gap_s - mean_s) ** 2 for gap_s in gaps_s) / len(gaps_s)
        assert 5.0 <= times_s[0] <= times_s[-1] < 25.0
        assert len(times_s) == pytest.approx(20_000, rel=0.05)
        assert variance / mean_s**2 == pytest.approx(squared_cv, rel=0.15)


def test_the_largest_batch_is_not_lost_to_rounding() -> None:
    assert CostModel(0.001, 0.008).largest(0.020) == 12
    assert CostModel(0.0002, 0.0005).largest(0.020) == 97
    assert CostModel(0.001, 0.008).largest(0.001) == 0
    assert CostModel(0.001, 0.002).achievable(0.010, 2) == pytest.approx(3 / 0.005)


def test_a_replica_computes_one_batch_at_a_time_and_reports_the_wait_apart() -> None:
    clock = EventClock()
    replica = SimulatedReplica(clock, steady(CostModel(0.001, 0.010)), transfer_s=0.002)
    replies: list[tuple[float, int, float, float]] = []

    class Taker:
        def batch_answered(self, batch_id, result) -> None:  # type: ignore[no-untyped-def]
            replies.append((clock.now(), batch_id, result.queue_s, result.compute_s))

    replica.taker = Taker()
    start_s = clock.now()
    replica.send_batch([b""] * 10, [], 0, None)
    replica.send_batch([b""] * 5, [], 0, None)
    assert replica.credits == 0
    clock.run(start_s + 1)

    assert [tuple(round(x, 9) for x in (at - start_s, n, q, c)) for at, n, q, c in replies] == [
        (0.024, 1, 0.0, 0.020),
        (0.039, 2, 0.020, 0.015),
    ]
    assert replica.credits == 2


def test_a_slowdown_lasts_as_long_as_it_was_asked_for() -> None:
    seconds = slowed(CostModel(0.0, 0.010), 3.0, from_s=5.0, until_s=6.0)

    assert [seconds(1, at_s) for at_s in (4.9, 5.0, 5.9, 6.0)] == [0.010, 0.030, 0.030, 0.010]


def test_clients_get_their_default_at_the_deadline_and_both_count_as_replies() -> None:
    bench = Bench(0.050)
    bench.replica(FixedPolicy(1), steady(CostModel(0.0, 0.040)))
    start_s = bench.clock.now()

    bench.open_loop([start_s + 0.001, start_s + 0.002], start_s + 1)
    outcome = bench.outcome(start_s + 1)

    assert outcome.queries == 2
    assert outcome.default_share == 0.5
    assert outcome.goodput == pytest.approx(1 / (1 + start_s))
    assert sorted(bench.record.latencies_s)[0] == pytest.approx(0.040)
    assert outcome.p99_s <= 0.050 + 1e-9
