from __future__ import annotations

import pytest

from clipper.batching.aimd import AimdPolicy
from clipper.batching.fixed import FixedPolicy
from clipper.batching.lag import LagEstimate
from clipper.datatypes import DefaultReason
from tests.fakes.fake_replica import FakeReplica, FakeResult

from .support import Bench, inputs, slow_and_fast


def test_queries_of_one_moment_travel_in_one_batch_most_urgent_first() -> None:
    bench = Bench()
    replica = bench.replica()
    bench.put("late", 0.3)
    bench.put("urgent", 0.1)
    bench.put("middle", 0.2)

    bench.clock.settle()

    assert inputs(replica) == [["urgent", "middle", "late"]]
    assert replica.sent[0].generation == 7
    assert replica.sent[0].budgets_s == pytest.approx([0.1, 0.2, 0.3])


def test_never_more_than_the_cap_and_never_more_batches_than_credits() -> None:
    bench = Bench()
    replica = bench.replica(FixedPolicy(9))
    for number in range(50):
        bench.put(str(number))

    bench.clock.settle()
    assert [len(batch) for batch in inputs(replica)] == [9, 9]

    replica.answer(0)
    assert [len(batch) for batch in inputs(replica)] == [9, 9, 9]


def test_answers_go_to_their_own_inputs() -> None:
    bench = Bench()
    replica = bench.replica()
    bench.put("a")
    bench.put("b")
    bench.clock.settle()

    replica.answer(0, FakeResult([b"A", b"B"]))

    assert bench.sink.outputs == {b"a": b"A", b"b": b"B"}


def test_item_errors_fail_their_own_query_only() -> None:
    bench = Bench()
    replica = bench.replica()
    bench.put("good")
    bench.put("bad")
    bench.clock.settle()

    replica.answer(0, FakeResult([b"1", b""], errors={1: "ValueError: no"}))

    assert bench.sink.outputs == {b"good": b"1"}
    assert bench.sink.failures == {b"bad": (DefaultReason.MODEL_ERROR, "ValueError: no")}


def test_two_idle_replicas_share_the_work() -> None:
    bench = Bench()
    first, second = bench.replica(FixedPolicy(5)), bench.replica(FixedPolicy(5))
    for number in range(10):
        bench.put(str(number))

    bench.clock.settle()

    assert [len(batch) for batch in inputs(first)] == [5]
    assert [len(batch) for batch in inputs(second)] == [5]


def test_second_batch_waits_until_just_before_the_first_is_due() -> None:
    bench = Bench()
    replica = bench.replica()
    bench.train(replica, 0.010)
    sent = len(replica.sent)
    bench.put("computing")
    bench.clock.settle()
    bench.put("early")
    bench.clock.advance(0.004)
    bench.put("later")
    bench.clock.advance(0.001)
    assert len(replica.sent) == sent + 1

    bench.clock.advance(0.0046)

    assert inputs(replica)[-1] == ["early", "later"]


def test_a_full_batch_does_not_wait() -> None:
    bench = Bench()
    replica = bench.replica(FixedPolicy(2))
    bench.train(replica, 0.010)
    sent = len(replica.sent)
    bench.put("computing")
    bench.clock.settle()
    bench.put("x")
    bench.put("y")
    bench.clock.settle()

    assert len(replica.sent) == sent + 2


def test_hopeless_queries_get_their_default_before_a_batch_is_wasted() -> None:
    bench = Bench()
    replica = bench.replica(FixedPolicy(1))
    bench.train(replica, 0.050)
    bench.put("computing", slo_s=10.0)
    bench.clock.settle()

    [hopeless] = bench.put("hopeless", slo_s=0.060).waiters  # 50 ms wait + 50 ms compute
    bench.put("fine", slo_s=0.200)
    bench.clock.advance(0.0496)

    assert hopeless.reasons == [(DefaultReason.SLO, "")]  # type: ignore[attr-defined]
    assert inputs(replica)[-1] == ["fine"]


def test_answers_after_the_deadline_are_counted() -> None:
    bench = Bench()
    replica = bench.replica()
    for slo_s in (0.05, 0.06, 0.5):
        bench.put(str(slo_s), slo_s=slo_s)
    bench.clock.settle()
    bench.clock.advance(0.1)
    replica.answer()
    assert bench.observer.misses == 2

    bench.put("in time", slo_s=0.1)
    bench.clock.settle()
    replica.answer()
    assert bench.observer.misses == 2


def test_an_idle_replica_probes_with_the_head_however_hopeless() -> None:
    bench = Bench()
    replica = bench.replica(FixedPolicy(4))
    bench.train(replica, 5.0)

    bench.put("probe", slo_s=0.010)
    bench.put("hopeless", slo_s=0.020)
    bench.clock.settle()

    assert inputs(replica)[-1] == ["probe"]
    assert b"hopeless" in bench.sink.failures


def test_a_pessimistic_estimate_does_not_lock_a_recovered_model_out() -> None:
    bench = Bench()
    replica = bench.replica(AimdPolicy())
    bench.train(replica, 5.0)

    for number in range(60):
        bench.put(f"q{number}", slo_s=0.1)
        bench.clock.settle()
        bench.clock.advance(0.001)
        replica.answer()

    bench.put("x", slo_s=0.1)
    bench.put("y", slo_s=0.1)
    bench.clock.settle()
    assert inputs(replica)[-1] == ["x", "y"]


def test_a_slow_replica_leaves_queries_that_another_can_answer_in_time() -> None:
    bench, slow, fast = slow_and_fast()
    for name in ("a", "b", "c"):
        bench.put(name, slo_s=0.1)
    bench.clock.settle()
    # The idle slow replica gets its trial, but the query does not depend on it.
    assert inputs(slow)[-1] == ["a"]
    bench.clock.advance(0.02)
    fast.answer()
    bench.clock.advance(0.02)
    fast.answer()
    assert {b"a", b"b", b"c"} <= bench.sink.outputs.keys()
    assert bench.sink.failures == {}


def test_a_slow_replica_gives_up_what_nobody_can_answer_in_time() -> None:
    bench, _, _ = slow_and_fast()
    for name in ("trial", "hopeless"):
        bench.put(name, slo_s=0.01)
    bench.clock.settle()
    assert b"hopeless" in bench.sink.failures


def test_a_container_cannot_have_computed_for_longer_than_the_round_trip() -> None:
    bench = Bench()
    replica = bench.replica(FixedPolicy(4))
    for number in range(5):
        bench.put(f"q{number}", slo_s=10.0)
        bench.clock.settle()
        bench.clock.advance(0.02)
        result = FakeResult(replica.sent[-1].inputs)
        result.queue_s = result.compute_s = 1e300
        replica.answer(result=result)
    assert replica.dispatcher is not None
    assert replica.dispatcher.finish_s(bench.clock.now(), 1) - bench.clock.now() < 0.1


def test_batch_wait_gathers_queries_until_the_oldest_has_waited() -> None:
    bench = Bench(batch_wait_s=0.002)
    replica = bench.replica()
    bench.put("a")
    bench.clock.advance(0.001)
    bench.put("b")
    bench.clock.advance(0.0005)
    assert replica.sent == []

    bench.clock.advance(0.0006)

    assert inputs(replica) == [["a", "b"]]


def test_without_batch_wait_nothing_waits() -> None:
    bench = Bench()
    replica = bench.replica()
    bench.put("a")

    bench.clock.settle()

    assert inputs(replica) == [["a"]]
    assert bench.observer.queue_waits_s == [0.0]


def test_batches_are_capped_in_bytes_but_one_large_input_still_goes() -> None:
    bench = Bench(max_batch_bytes=10)
    replica = bench.replica(replica=FakeReplica(credits=10))
    for name in ("x" * 25, "a" * 6, "b" * 6):
        bench.put(name)
    bench.clock.settle()
    for index in range(3):
        replica.answer(index)

    assert [len(batch) for batch in inputs(replica)] == [1, 1, 1]


def test_light_load_does_not_teach_the_controller_to_shrink() -> None:
    bench = Bench()
    policy = AimdPolicy(start=40)
    replica = bench.replica(policy)

    bench.train(replica, 0.001, rounds=50)

    assert policy.cap == 40


def test_with_several_frontends_demand_is_signalled_and_unused_credits_go_back() -> None:
    bench = Bench()
    replica = bench.replica(replica=FakeReplica(credits=0, holds_credits=False))
    bench.put("a", slo_s=0.2)
    bench.clock.settle()
    assert replica.demands == [(1, pytest.approx(0.2))]

    bench.put("urgent", slo_s=0.05)
    bench.put("relaxed", slo_s=0.5)
    bench.clock.settle()
    assert replica.demands[1:] == [(3, pytest.approx(0.05))]

    replica.credits = 1
    assert replica.dispatcher is not None
    replica.dispatcher.pump()
    assert inputs(replica) == [["urgent", "a", "relaxed"]]
    assert replica.sent[0].demand is None
    replica.credits = 1
    replica.dispatcher.pump()
    assert replica.returned == 1


def test_a_batch_carries_the_demand_that_waits_behind_it() -> None:
    bench = Bench()
    replica = bench.replica(FixedPolicy(1), FakeReplica(credits=1, holds_credits=False))
    bench.put("a", slo_s=0.1)
    bench.put("b", slo_s=0.3)

    bench.clock.settle()

    assert replica.sent[0].demand == (1, pytest.approx(0.3))
    assert replica.demands == []


def test_lag_of_the_frontend_does_not_drive_the_cap_to_one() -> None:
    """A batch takes 1 ms, the reply is seen 15 ms later: what helps is larger batches."""
    bench = Bench()
    bench.lane.set_slo(0.020)
    policy = AimdPolicy()
    replica = bench.replica(policy, FakeReplica(credits=1))
    lags_s = [0.015, 0.012, 0.0, 0.016] * 20
    for number, lag_s in enumerate(lags_s):
        for query in range(200):
            bench.put(f"{number}/{query}", slo_s=1000.0)
        bench.clock.settle()
        bench.clock.advance(0.001 + lag_s)
        replica.answer(len(replica.sent) - 1, FakeResult(replica.sent[-1].inputs, compute_s=0.001))

    assert policy.cap > 100


def test_errors_of_predictions_do_not_add_up_while_the_pipe_stays_full() -> None:
    """Batches take 10 ms but every twentieth 30 ms, so that the prediction is always too high."""
    bench = Bench()
    replica = bench.replica(FixedPolicy(2))
    for number in range(800):
        bench.put(f"{number}", slo_s=500.0)
    bench.clock.settle()
    for done in range(200):
        bench.clock.advance(0.030 if done % 20 == 0 else 0.010)
        replica.answer(done, FakeResult(replica.sent[done].inputs, queue_s=0.0))
        bench.put(f"{done} tight", slo_s=0.100)
        bench.clock.settle()

    assert bench.sink.failures == {}


def lagging_bench(lag_s: float) -> Bench:
    bench = Bench(lag=LagEstimate())
    for _ in range(200):
        bench.lag.observe(lag_s)
    return bench


def test_our_own_lag_is_taken_off_the_budgets_that_containers_get() -> None:
    bench = lagging_bench(0.004)
    replica = bench.replica()
    bench.put("a", slo_s=0.1)

    bench.clock.settle()

    assert replica.sent[0].budgets_s == pytest.approx([0.096])


def test_what_only_our_own_lag_makes_late_is_given_up_before_a_batch_is_wasted() -> None:
    for lag_s, failed in ((0.0, False), (0.008, True)):
        bench = lagging_bench(lag_s)
        replica = bench.replica(FixedPolicy(1))
        bench.train(replica, 0.040)
        bench.put("computing", slo_s=10.0)
        bench.clock.settle()
        bench.put("tight", slo_s=0.085)  # 40 ms wait, 40 ms compute
        bench.clock.advance(0.0399)

        assert (b"tight" in bench.sink.failures) == failed


def test_a_lag_of_the_whole_objective_still_lets_queries_through() -> None:
    bench = lagging_bench(0.5)
    replica = bench.replica()
    bench.train(replica, 0.030)
    bench.put("computing", slo_s=0.1)
    bench.clock.settle()
    bench.put("next", slo_s=0.1)
    bench.clock.advance(0.030)
    replica.answer()

    assert inputs(replica)[-1] == ["next"]


def test_a_hopeless_head_does_not_cost_an_idle_replica_a_batch() -> None:
    """A batch for one query that is late anyway delays all that are not."""
    bench = Bench()
    replica = bench.replica(FixedPolicy(10))
    bench.train(replica, 0.050)

    bench.put("hopeless", slo_s=0.010)
    bench.put("fine", slo_s=0.080)
    bench.clock.settle()

    assert inputs(replica)[-1] == ["fine"]
    assert b"hopeless" in bench.sink.failures


def learnt_line(bench: Bench, offset_s: float, slope_s: float, cap: int) -> FakeReplica:
    """A replica of which the dispatcher knows what batches of any size take."""
    replica = bench.replica(FixedPolicy(cap))
    for size in (1, 4, 8, 2, 6) * 4:
        for number in range(size):
            bench.put(f"train{number}", slo_s=1000.0)
        bench.clock.settle()
        compute_s = offset_s + slope_s * size
        bench.clock.advance(compute_s)
        replica.answer(result=FakeResult(replica.sent[-1].inputs, compute_s=compute_s))
    return replica


def test_under_overload_batches_stay_as_large_as_planned() -> None:
    """10 ms + 1 ms a query: the oldest could only be saved by a batch of half the efficiency."""
    bench = Bench()
    replica = learnt_line(bench, 0.010, 0.001, cap=10)
    bench.put("old", slo_s=0.0135)
    for number in range(20):
        bench.put(f"{number:02}", slo_s=0.030)

    bench.clock.settle()

    assert [f"{number:02}" for number in range(10)] in inputs(replica)
    assert b"old" in bench.sink.failures


def test_a_slightly_smaller_batch_saves_the_head() -> None:
    """Almost no fixed cost: nine at a time are as good as ten."""
    bench = Bench()
    replica = learnt_line(bench, 0.0002, 0.001, cap=10)
    bench.put("old", slo_s=0.0097)
    for number in range(20):
        bench.put(f"{number:02}", slo_s=0.030)

    bench.clock.settle()

    assert inputs(replica)[-2] == ["old", *(f"{number:02}" for number in range(8))]
    assert bench.sink.failures == {}


def test_batch_wait_holds_the_next_batch_back_too_while_one_is_computed() -> None:
    bench = Bench(batch_wait_s=0.010)
    replica = bench.replica()
    for number in range(5):
        bench.put(f"train{number}")
        bench.clock.advance(0.010)
        bench.clock.advance(0.004)
        replica.answer()
    bench.put("computing")
    bench.clock.advance(0.011)
    sent = len(replica.sent)
    bench.put("a")
    bench.clock.advance(0.0036)  # the batch that is computed ends in 0.4 ms
    assert len(replica.sent) == sent
    replica.answer()
    bench.put("b")
    bench.clock.advance(0.006)
    assert len(replica.sent) == sent

    bench.clock.advance(0.001)

    assert inputs(replica)[-1] == ["a", "b"]
