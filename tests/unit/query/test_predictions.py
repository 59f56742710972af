"""From a query to its answer or default (spec §2.6; design decisions 4, 6, 8)."""

from __future__ import annotations

import pytest

from clipper.datatypes import DefaultReason
from clipper.errors import InvalidRequest

from .support import Bench, answer, default, only

MS = 0.001


def test_the_answer_of_the_container_reaches_the_query_at_once() -> None:
    bench = Bench()
    container = bench.serve()

    request = bench.ask(b"x")
    assert container.inputs == [[b"x"]]
    bench.clock.advance(3 * MS)
    container.answer()

    assert answer(request) == "out:x"
    assert bench.observer.finished == [(only(request).query_id, None, pytest.approx(3 * MS))]


def test_without_a_link_a_replica_or_a_current_version_the_default_is_immediate() -> None:
    bench = Bench()
    bench.configure([bench.app_record()])
    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA

    bench.configure(links={"app": ("m",)})
    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA

    bench.configure(models=[bench.model_record()], current={"m": "1"})
    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA
    assert all(latency_s == 0 for *_, latency_s in bench.observer.finished)


def test_the_slo_default_comes_exactly_at_the_deadline() -> None:
    bench = Bench()
    bench.serve(slo_ms=20)
    request = bench.ask(b"x")

    bench.clock.advance(19.999 * MS)
    assert request.pending == 1
    bench.clock.advance(0.001 * MS)

    assert default(request) is DefaultReason.SLO
    assert bench.observer.finished[0][2] == pytest.approx(20 * MS)


def test_a_late_answer_fills_the_cache_for_the_retry() -> None:
    bench = Bench()
    container = bench.serve()
    late = bench.ask(b"x")
    bench.clock.advance(150 * MS)
    assert default(late) is DefaultReason.SLO

    container.answer()
    retry = bench.ask(b"x")

    assert answer(retry) == "out:x"
    assert default(late) is DefaultReason.SLO
    assert len(container.inputs) == 1


def test_a_retry_during_the_late_computation_waits_for_it() -> None:
    bench = Bench()
    container = bench.serve()
    bench.ask(b"x")
    bench.clock.advance(120 * MS)

    retry = bench.ask(b"x")
    container.answer()

    assert answer(retry) == "out:x"
    assert len(container.inputs) == 1


def test_equal_queries_are_computed_once_each_with_its_own_deadline() -> None:
    bench = Bench()
    container = bench.serve()
    bench.configure([bench.app_record("patient", slo_ms=500)], links={"patient": ("m",)})

    hasty = bench.ask(b"x")
    patient = bench.ask(b"x", app="patient")
    bench.clock.advance(100 * MS)
    assert default(hasty) is DefaultReason.SLO
    assert patient.pending == 1
    bench.clock.advance(100 * MS)
    container.answer()

    assert answer(patient) == "out:x"
    assert container.inputs == [[b"x"]]
    assert bench.observer.counts["coalesced"] == 1


def test_a_joiner_with_an_earlier_deadline_moves_the_task_forward() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1}, slo_ms=100)
    bench.configure([bench.app_record("patient", slo_ms=900)], links={"patient": ("m",)})
    for filler in (b"0", b"1"):
        bench.ask(filler)
    shared = bench.ask(b"shared", app="patient")
    bench.clock.advance(1 * MS)
    bench.ask(b"other")
    bench.clock.advance(1 * MS)
    bench.ask(b"patient", app="patient")
    hasty = bench.ask(b"shared")

    container.answer(0)
    assert container.inputs[2:] == [[b"other"]]
    container.answer(1)
    assert container.inputs[3:] == [[b"shared"]]
    container.answer(3)

    assert answer(shared) == answer(hasty) == "out:shared"


def test_when_the_hasty_joiner_gives_up_the_task_moves_back() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1}, slo_ms=50)
    bench.configure(
        [bench.app_record("patient", slo_ms=900), bench.app_record("medium", slo_ms=500)],
        links={"patient": ("m",), "medium": ("m",)},
    )
    for filler in (b"0", b"1"):
        bench.ask(filler, app="patient")
    shared = bench.ask(b"shared", app="patient")
    hasty = bench.ask(b"shared")
    bench.clock.advance(60 * MS)
    assert default(hasty) is DefaultReason.SLO
    bench.ask(b"medium", app="medium")

    container.answer(0)
    assert container.inputs[2:] == [[b"medium"]]
    container.answer(1)
    container.answer(-1)

    assert answer(shared) == "out:shared"


def test_the_application_with_the_tighter_objective_goes_first() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1}, slo_ms=400)
    bench.configure([bench.app_record("hasty", slo_ms=100)], links={"hasty": ("m",)})
    for filler in (b"0", b"1"):
        bench.ask(filler)
    bench.ask(b"slow")
    bench.ask(b"fast", app="hasty")

    container.answer(0)
    container.answer(1)

    assert container.inputs[2:] == [[b"fast"], [b"slow"]]


def test_a_failed_leader_fails_its_waiters_but_not_the_next_query() -> None:
    bench = Bench()
    container = bench.serve()
    first, second = bench.ask(b"x"), bench.ask(b"x")
    container.answer(errors={0: "ValueError: no"})
    assert default(first) is default(second) is DefaultReason.MODEL_ERROR
    assert only(first).detail == "ValueError: no"
    assert bench.cache.in_flight == 0

    third = bench.ask(b"x")
    container.answer()

    assert answer(third) == "out:x"


def test_one_bad_item_does_not_sink_its_batch() -> None:
    bench = Bench()
    container = bench.serve()
    request = bench.ask(b"a", b"b", b"c")

    container.answer(errors={1: "no"})

    texts = [query.output and query.output.text for query in request.queries]
    assert texts == [b"out:a", None, b"out:c"]


def test_defaults_are_never_cached() -> None:
    bench = Bench()
    bench.serve().die()
    bench.ask(b"x")
    bench.container()
    bench.ask(b"x")
    bench.clock.advance(1.0)

    assert len(bench.cache) == 0


def test_a_version_without_cache_computes_every_query() -> None:
    bench = Bench()
    container = bench.serve(model={"cache": False, "batch_size": 1})
    first, second = bench.ask(b"x"), bench.ask(b"x")
    container.answer(0, [b"1"])
    container.answer(1, [b"2"])
    third = bench.ask(b"x")
    container.answer(2, [b"3"])

    assert [answer(request) for request in (first, second, third)] == ["1", "2", "3"]
    assert bench.observer.counts["bypassed"] == 3
    assert len(bench.cache) == 0


def test_an_isolated_application_shares_no_answers() -> None:
    bench = Bench()
    container = bench.serve(app={"isolate_cache": True}, model={"batch_size": 1})
    bench.configure([bench.app_record("open")], links={"open": ("m",)})
    bench.ask(b"x")
    container.answer()

    other = bench.ask(b"x", app="open")
    assert other.pending == 1
    container.answer()

    assert answer(bench.ask(b"x")) == answer(bench.ask(b"x", app="open")) == "out:x"
    assert len(container.inputs) == 2


def test_the_cache_answers_even_when_all_replicas_are_gone() -> None:
    bench = Bench()
    container = bench.serve()
    bench.ask(b"x")
    container.answer()
    container.die()

    assert answer(bench.ask(b"x")) == "out:x"
    assert default(bench.ask(b"y")) is DefaultReason.NO_REPLICA


def test_a_batch_request_is_finished_when_all_its_queries_are() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1})
    finished: list[bool] = []
    request = bench.ask(b"a", b"b", b"a")
    request.on_done = lambda: finished.append(True)

    container.answer(0)
    assert request.pending == 1
    assert not finished
    container.answer(1)

    assert finished == [True]
    texts = [query.output.text for query in request.queries if query.output]
    assert texts == [b"out:a", b"out:b", b"out:a"]


def test_an_empty_batch_is_finished_at_once() -> None:
    bench = Bench()
    bench.serve()

    request = bench.ask()

    assert request.pending == 0
    assert not request.queries


def test_a_full_queue_sheds() -> None:
    bench = Bench(max_queue_length=3)
    container = bench.serve(model={"batch_size": 1})
    for number in range(2):
        bench.ask(b"%d" % number)

    *queued, shed = (bench.ask(b"q%d" % number) for number in range(4))
    joined = bench.ask(b"q0")

    assert [request.pending for request in queued] == [1, 1, 1]
    assert default(shed) is DefaultReason.SHED
    assert joined.pending == 1, "a query that joins a queued one takes no place"
    container.answer(0)
    assert bench.ask(b"again").pending == 1


def test_expired_queries_make_room_in_the_queue() -> None:
    bench = Bench(max_queue_length=2)
    bench.serve(model={"batch_size": 1})
    for number in range(4):
        bench.ask(b"%d" % number)
    bench.clock.advance(100 * MS)

    assert len(bench.fleet.models()[0].queue) == 0
    assert bench.ask(b"new").pending == 1


def test_query_ids_are_unique_and_rise() -> None:
    bench = Bench()
    bench.configure([bench.app_record()])

    ids = [q.query_id for _ in range(3) for q in bench.ask(b"a", b"b").queries]

    assert ids == sorted(set(ids))
    assert ids[0] == 7 << 32


def test_a_pinned_version_is_asked_and_no_other() -> None:
    bench = Bench()
    first = bench.serve()
    bench.configure(models=[bench.model_record("2")], current={"m": "2"})
    second = bench.container("2")

    pinned = bench.ask(b"x", version="1")
    current = bench.ask(b"x")
    first.answer(outputs=[b"one"])
    second.answer(outputs=[b"two"])

    assert (answer(pinned), answer(current)) == ("one", "two")


def test_a_pinned_version_without_replica_gives_the_default() -> None:
    bench = Bench()
    bench.serve()
    bench.configure(models=[bench.model_record("2")])

    assert default(bench.ask(b"x", version="2")) is DefaultReason.NO_REPLICA


def test_an_unknown_version_is_refused_with_the_original_text() -> None:
    bench = Bench()
    bench.serve()

    with pytest.raises(InvalidRequest) as caught:
        bench.ask(b"x", version="9")

    assert caught.value.msg == "Requested version: 9 does not exist for model: m"


def test_a_version_with_several_links_is_refused_but_the_first_link_is_used_without() -> None:
    bench = Bench()
    container = bench.serve()
    bench.configure(models=[bench.model_record(name="n")], links={"app": ("m", "n")})
    with pytest.raises(InvalidRequest) as caught:
        bench.ask(b"x", version="1")
    assert caught.value.msg == "Too many models linked to application app"

    request = bench.ask(b"x")
    container.answer()

    assert answer(request) == "out:x"


def test_a_version_without_a_link_gives_the_default() -> None:
    bench = Bench()
    bench.configure([bench.app_record()])

    assert default(bench.ask(b"x", version="1")) is DefaultReason.NO_REPLICA


def test_a_query_that_cannot_be_in_time_is_told_so_before_its_deadline() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1})
    for number in range(4):  # the replica is known to take 80 ms
        bench.ask(b"train%d" % number)
        bench.clock.advance(80 * MS)
        container.answer()
    running = bench.ask(b"running")
    hopeless = bench.ask(b"hopeless")

    assert default(hopeless) is DefaultReason.SLO, "behind 80 ms it cannot be done in 100"
    assert running.pending == 1
    assert container.inputs[-1] == [b"running"]
