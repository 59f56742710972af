"""Replicas that die, hang or are late, and inputs that kill them."""

from __future__ import annotations

from clipper.batching.fixed import FixedPolicy
from clipper.datatypes import DefaultReason
from tests.fakes.fake_replica import FakeResult

from .support import Bench, inputs, slow_and_fast


def test_losing_a_replica_loses_no_query() -> None:
    bench = Bench()
    dying = bench.replica(FixedPolicy(2))
    for number in range(4):
        bench.put(str(number))
    bench.clock.settle()
    survivor = bench.replica(FixedPolicy(10))

    bench.lose(dying)
    bench.clock.settle()

    assert inputs(survivor) == [["0", "1", "2", "3"]]
    assert bench.sink.failures == {}


def test_a_poisonous_input_is_isolated_and_answered_model_error() -> None:
    bench = Bench()
    names = ["good0", "poison", "good1"]
    for name in names:
        bench.put(name, slo_s=100.0)
    crashes = 0
    for _ in range(20):
        replica = bench.replica(FixedPolicy(10))
        bench.lane.wake()
        bench.clock.settle()
        while replica.dispatcher in bench.lane.dispatchers and replica.dispatcher.outstanding:
            assert replica.dispatcher is not None
            if any("poison" in item for batch in inputs(replica)[-1:] for item in batch):
                crashes += 1
                bench.lose(replica)
            else:
                replica.answer()
                bench.clock.settle()

    assert bench.sink.outputs == {b"good0": b"good0", b"good1": b"good1"}
    reason, detail = bench.sink.failures[b"poison"]
    assert reason is DefaultReason.MODEL_ERROR
    assert "died 3 times" in detail
    assert crashes == 3


def test_the_batch_that_waited_behind_is_not_blamed() -> None:
    bench = Bench()
    replica = bench.replica(FixedPolicy(1))
    first, second = bench.put("first"), bench.put("second")
    bench.clock.settle()

    bench.lose(replica)

    assert (first.losses, second.losses) == (1, 0)


def test_nothing_accompanies_a_task_that_runs_alone() -> None:
    bench = Bench()
    suspect = bench.put("suspect")
    suspect.losses = 2
    bench.put("other")
    replica = bench.replica()
    bench.clock.settle()

    assert inputs(replica) == [["suspect"]]
    replica.answer()
    assert inputs(replica) == [["suspect"], ["other"]]


def test_a_late_batch_is_offered_to_another_replica_and_the_first_answer_wins() -> None:
    bench = Bench()
    slow = bench.replica()
    bench.train(slow, 0.020)
    bench.put("stuck", slo_s=10.0)
    bench.clock.settle()
    other = bench.replica()

    bench.clock.advance(0.059)
    assert other.sent == []
    bench.clock.advance(0.002)

    assert slow.dispatcher is not None
    assert slow.dispatcher.suspect
    assert inputs(other) == [["stuck"]]
    other.answer(0, FakeResult([b"from other"]))
    slow.answer(-1, FakeResult([b"from slow"]))
    assert bench.sink.outputs[b"stuck"] == b"from other"
    assert not slow.dispatcher.suspect


def test_a_suspect_replica_is_not_fed() -> None:
    bench = Bench()
    replica = bench.replica()
    bench.train(replica, 0.020)
    bench.put("stuck", slo_s=10.0)
    bench.clock.advance(1.0)
    sent = len(replica.sent)

    bench.put("next", slo_s=10.0)
    bench.clock.settle()
    assert len(replica.sent) == sent

    replica.answer()
    assert inputs(replica)[-1] == ["next"]


def test_an_input_that_hangs_is_tried_on_a_second_replica_and_no_further() -> None:
    bench = Bench()
    replicas = [bench.replica() for _ in range(4)]
    bench.put("hangs", slo_s=1000.0)
    bench.clock.settle()

    bench.clock.advance(100.0)

    assert sum(len(replica.sent) for replica in replicas) == 2
    bench.put("next", slo_s=1000.0)
    bench.clock.settle()
    assert [batch for replica in replicas for batch in inputs(replica)].count(["next"]) == 1


def test_a_short_stall_of_the_fast_replica_does_not_give_the_queue_to_the_slow_one() -> None:
    """While it is late nobody knows when it answers, so nothing is hopeless because of that."""
    bench, slow, fast = slow_and_fast()
    bench.clock.advance(0.070)
    assert fast.dispatcher is not None
    assert fast.dispatcher.suspect

    for name in ("trial", "a", "b", "c"):
        bench.put(name, slo_s=0.2)
    bench.clock.settle()
    slow.answer()
    bench.clock.advance(0.010)
    while fast.dispatcher.outstanding:
        fast.answer(len(fast.sent) - fast.dispatcher.outstanding)
        bench.clock.advance(0.020)

    assert {b"a", b"b", b"c"} <= bench.sink.outputs.keys()
    assert bench.sink.failures == {}
