"""The smallest and largest settings that can be registered."""

from __future__ import annotations

import pytest

from clipper.datatypes import DefaultReason
from tests.unit.query.support import Bench

SHORTEST_MS = 0.001
LONGEST_MS = (2**31 - 1) / 1000


def test_an_objective_of_a_microsecond_is_a_default_in_time_and_a_cached_answer_later() -> None:
    bench = Bench()
    container = bench.serve(slo_ms=SHORTEST_MS)
    [query] = bench.ask(b"x").queries
    bench.clock.advance(0.002)
    assert query.reason is DefaultReason.SLO

    container.answer()
    [retry] = bench.ask(b"x").queries
    assert retry.output is not None
    assert retry.output.text == b"out:x"


def test_short_objectives_never_lock_a_model_out() -> None:
    bench = Bench()
    container = bench.serve(slo_ms=SHORTEST_MS, model={"batch_size": -1})
    for n in range(50):
        bench.ask(b"%d" % n)
        bench.clock.advance(0.01)
        container.answer()

    assert len(container.inputs) == 50


def test_the_longest_objective_is_kept_to_the_end() -> None:
    bench = Bench()
    container = bench.serve(slo_ms=LONGEST_MS)
    [query] = bench.ask(b"x").queries
    bench.clock.advance(LONGEST_MS / 1000 - 0.001)
    assert not query.done

    container.answer()
    assert query.output is not None


@pytest.mark.parametrize("slo_ms", [1.0, LONGEST_MS])
def test_a_cache_of_no_bytes_keeps_nothing_but_still_shares_what_is_computed(slo_ms: float) -> None:
    bench = Bench(cache_bytes=0)
    container = bench.serve(slo_ms=slo_ms)
    first, joined = bench.ask(b"x"), bench.ask(b"x")
    assert container.inputs == [[b"x"]]
    container.answer()
    assert [query.output is not None for query in (*first.queries, *joined.queries)] == [True, True]

    bench.ask(b"x")
    assert container.inputs == [[b"x"], [b"x"]]
    assert (len(bench.cache), bench.cache.size_bytes) == (0, 0)


def test_a_cache_of_no_bytes_forgets_queries_that_were_not_answered() -> None:
    bench = Bench(cache_bytes=0)
    bench.serve(slo_ms=1.0, model={"batch_size": 1})
    for n in range(90):
        bench.ask(b"%d" % n)
    bench.clock.advance(0.01)

    assert bench.cache.in_flight <= 2, "only what a replica computes"


def test_queries_that_a_version_gave_no_answer_in_time_are_counted_for_it() -> None:
    bench = Bench(max_queue_length=2)
    container = bench.serve(slo_ms=50.0, model={"batch_size": 1})
    queries = [query for n in range(5) for query in bench.ask(b"%d" % n).queries]
    shed = [query for query in queries if query.reason is DefaultReason.SHED]
    bench.clock.advance(0.06)
    assert {query.reason for query in queries} == {DefaultReason.SHED, DefaultReason.SLO}
    given_up = bench.observer.counts["missed"] - len(shed)
    assert given_up == len(queries) - len(shed) - len(container.inputs)

    for index in range(len(container.inputs)):
        container.answer(index)
    assert bench.observer.counts["missed"] == len(queries)


def test_errors_of_a_model_are_no_missed_deadlines() -> None:
    bench = Bench()
    container = bench.serve()
    bench.ask(b"x")
    bench.clock.settle()
    container.answer(errors={0: "no"})
    assert (bench.observer.counts["error"], bench.observer.counts["missed"]) == (1, 0)
