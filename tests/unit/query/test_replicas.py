"""Replicas that come, go, hang, drain, fail their probe (design decisions 3, 4, 13)."""

from __future__ import annotations

import pytest

from clipper.datatypes import DefaultReason, InputType
from clipper.replicas.replica import ReplicaState

from .support import Bench, Container, answer, default

MS = 0.001


def train(bench: Bench, container: Container, latency_s: float = 0.01) -> None:
    """Let a replica show how long it takes."""
    for number in range(5):
        bench.ask(b"train%d" % number)
        bench.clock.advance(latency_s)
        container.answer()


def test_the_only_copy_waits_for_a_returning_replica() -> None:
    bench = Bench()
    container = bench.serve(slo_ms=1000)
    request = bench.ask(b"x")
    container.die()
    bench.clock.advance(0.5)

    returned = bench.container()
    bench.clock.settle()
    returned.answer()

    assert answer(request) == "out:x"


def test_the_only_copy_waits_no_longer_than_its_deadline() -> None:
    bench = Bench()
    bench.serve().die()
    container = bench.container()
    request = bench.ask(b"x")
    container.die()

    bench.clock.advance(0.1)

    assert default(request) is DefaultReason.SLO
    assert bench.cache.in_flight == 0


def test_a_lost_batch_is_computed_by_another_replica() -> None:
    bench = Bench()
    first = bench.serve()
    request = bench.ask(b"x")
    second = bench.container()
    first.die()
    bench.clock.settle()

    second.answer()

    assert answer(request) == "out:x"


def test_a_replica_of_another_input_type_gets_no_queries(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.serve().die()
    mismatched = bench.container(input_type=InputType.DOUBLES)

    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA
    assert mismatched.inputs == []
    assert "takes doubles but the model is registered for strings" in caplog.text


def test_a_container_that_dials_before_its_registration_serves_after_it() -> None:
    bench = Bench()
    early = bench.container()
    bench.configure([bench.app_record()], [bench.model_record()], {"app": ("m",)}, {"m": "1"})

    request = bench.ask(b"x")
    early.answer()

    assert answer(request) == "out:x"


def test_without_held_credits_an_early_container_is_admitted_and_asked_for_a_credit() -> None:
    bench = Bench()
    early = bench.container(granted=0, hold=False)
    bench.configure([bench.app_record()], [bench.model_record()], {"app": ("m",)}, {"m": "1"})
    request = bench.ask(b"x")
    early.read()
    assert [message.demand.queries for message in early.others] == [1]

    early.grant(1)
    early.answer()

    assert answer(request) == "out:x"


def test_credits_that_nobody_here_can_use_go_back() -> None:
    bench = Bench()
    stranger = bench.container(name="unregistered", granted=1, hold=False)
    stranger.read()

    assert [message.credit_return.credits for message in stranger.others] == [1]
    assert stranger.replica.credits == 0


def test_a_probe_comes_before_the_first_query() -> None:
    bench = Bench()
    container = bench.serve(model={"probe_input": '"hello"'})
    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA
    assert container.inputs == [[b"hello"]]
    assert container.batches[0].probe

    container.answer()
    request = bench.ask(b"x")
    container.answer()

    assert answer(request) == "out:x"
    assert not container.batches[1].probe
    assert len(bench.cache) == 1, "the answer to the probe is nobody's prediction"


def test_a_probe_without_held_credits_asks_for_one() -> None:
    bench = Bench()
    container = bench.serve(model={"probe_input": '"hello"'})
    container.die()
    shared = bench.container(granted=0, hold=False)
    shared.read()
    assert [message.demand.queries for message in shared.others] == [1]
    assert shared.inputs == []
    assert shared.replica.credits == 0

    shared.grant(1)
    shared.answer()
    request = bench.ask(b"x")
    shared.grant(1)
    shared.answer()

    assert answer(request) == "out:x"


def test_a_replica_that_fails_its_probe_gets_no_queries(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    container = bench.serve(model={"probe_input": '"hello"'})
    container.answer(errors={0: "ImportError: scipy"})

    assert container.replica.state is ReplicaState.PROBE_FAILED
    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA
    assert "ImportError: scipy" in caplog.text


def test_a_probe_that_cannot_be_read_spoils_only_its_own_model(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    container = bench.serve(model={"probe_input": "{"})

    assert container.replica.state is ReplicaState.PROBE_FAILED
    assert container.batches == []
    assert "the probe input cannot be read" in caplog.text


def test_a_registration_with_a_mended_probe_tries_the_replica_again() -> None:
    bench = Bench()
    container = bench.serve(model={"probe_input": '"hello"'})
    container.answer(errors={0: "no"})
    bench.configure(models=[bench.model_record(probe_input='"better"')])

    assert container.inputs[-1] == [b"better"]
    container.answer()

    assert container.replica.state is ReplicaState.READY


def test_a_registration_during_the_probe_ignores_the_old_probes_answer() -> None:
    bench = Bench()
    container = bench.serve(model={"probe_input": '"old"'})
    bench.configure(models=[bench.model_record(probe_input='"new"')])
    container.answer(0)
    assert container.replica.state is ReplicaState.CONNECTED
    container.answer(1)

    assert container.replica.state is ReplicaState.READY


def test_an_unanswered_probe_keeps_the_old_version_serving() -> None:
    bench = Bench()
    old = bench.serve()
    bench.configure(models=[bench.model_record("2", probe_input='"hello"')], current={"m": "2"})
    bench.container("2")
    bench.clock.advance(100.0)

    request = bench.ask(b"x")
    old.answer()

    assert answer(request) == "out:x"


def test_a_draining_replica_answers_what_it_has_and_gets_nothing_more() -> None:
    bench = Bench()
    container = bench.serve()
    before = bench.ask(b"x")
    container.drain()

    assert default(bench.ask(b"y")) is DefaultReason.NO_REPLICA
    container.answer()
    assert answer(before) == "out:x"
    container.read()
    assert [message.credit_return.credits for message in container.others] == [1]
    assert container.inputs == [[b"x"]]


def test_what_waits_behind_a_draining_replica_goes_to_the_next() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1})
    requests = [bench.ask(b"%d" % number) for number in range(3)]
    container.drain()
    successor = bench.container()
    bench.clock.settle()
    container.answer(0)
    container.answer(1)
    successor.answer()

    assert [answer(request) for request in requests] == ["out:0", "out:1", "out:2"]
    assert successor.inputs == [[b"2"]]


def test_a_draining_replica_stays_so_through_a_registration() -> None:
    bench = Bench()
    container = bench.serve()
    container.drain()
    bench.configure(models=[bench.model_record()])

    assert container.replica.state is ReplicaState.DRAINING
    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA


def test_a_replica_that_drains_during_its_probe_never_serves() -> None:
    bench = Bench()
    container = bench.serve(model={"probe_input": '"hello"'})
    container.read()
    container.drain()
    container.answer()

    assert container.replica.state is ReplicaState.DRAINING
    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA


def test_a_late_replicas_queries_are_answered_by_another() -> None:
    bench = Bench()
    slow = bench.serve(slo_ms=500)
    train(bench, slow)
    request = bench.ask(b"x")
    healthy = bench.container()
    bench.clock.advance(60 * MS)
    assert healthy.inputs == [[b"x"]]
    healthy.answer()

    assert answer(request) == "out:x"


def test_a_replica_that_joins_gets_what_the_late_one_still_has() -> None:
    bench = Bench()
    slow = bench.serve(slo_ms=500)
    train(bench, slow)
    request = bench.ask(b"x")
    bench.clock.advance(100 * MS)

    healthy = bench.container()
    bench.clock.settle()
    healthy.answer()

    assert answer(request) == "out:x"


@pytest.mark.parametrize("trained", [True, False])
def test_a_computation_that_hangs_does_not_poison_equal_queries(trained: bool) -> None:
    bench = Bench()
    hung = bench.serve()
    if trained:
        train(bench, hung)
    assert bench.ask(b"x").pending == 1
    bench.clock.advance(1.0)
    healthy = bench.container()
    bench.clock.settle()

    first, second = bench.ask(b"x"), bench.ask(b"x")
    assert healthy.inputs == [[b"x"]], "offered again, and only once"
    healthy.answer()

    assert answer(first) == answer(second) == "out:x"


def test_a_late_answer_counts_although_the_query_was_offered_to_another() -> None:
    bench = Bench()
    slow = bench.serve()
    train(bench, slow)
    other = bench.container()
    other.read()
    request = bench.ask(b"x")
    holder, idle = (slow, other) if slow.inputs[-1] == [b"x"] else (other, slow)
    bench.clock.advance(0.2)
    assert default(request) is DefaultReason.SLO

    holder.answer()

    assert answer(bench.ask(b"x")) == "out:x"
    assert idle is not holder


def test_a_query_that_kills_three_replicas_is_answered_as_a_model_error() -> None:
    bench = Bench()
    container = bench.serve(slo_ms=10_000)
    poison = bench.ask(b"poison")
    for _ in range(3):
        assert poison.pending == 1
        container.die()
        container = bench.container()
        bench.clock.settle()

    assert default(poison) is DefaultReason.MODEL_ERROR
    assert container.inputs == []


def test_many_queries_that_give_up_on_one_computation_are_let_go() -> None:
    bench = Bench()
    bench.serve(slo_ms=10)
    bench.ask(b"x")
    for _ in range(3000):
        bench.ask(b"x")
        bench.clock.advance(1 * MS)

    [shelf] = bench.cache._shelves.values()
    [task] = shelf.leaders.values()
    assert len(task.waiters) <= 64
