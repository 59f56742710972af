"""`QueryProcessor.submit_one`: the short way of a plain application's usual request."""

from __future__ import annotations

import pytest

from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.query.query import PredictRequest

from .support import Bench, answer, default


def ask_one(bench: Bench, data: bytes = b"x") -> PredictRequest | bytes:
    """Ask as the frontend does; return the output's text if it was in the cache."""
    application = bench.applications.get("app")
    assert application is not None
    one = bench.processor.submit_one(application, data, bench.clock.now())
    bench.clock.settle()
    return one if isinstance(one, PredictRequest) else one[1].text


def missed(bench: Bench, data: bytes = b"x") -> PredictRequest:
    """Ask for what is not in the cache."""
    request = ask_one(bench, data)
    assert isinstance(request, PredictRequest)
    return request


def test_a_miss_is_computed_and_then_a_hit_makes_no_query() -> None:
    bench = Bench()
    container = bench.serve()
    request = missed(bench)
    assert container.inputs == [[b"x"]]
    container.answer()
    assert answer(request) == "out:x"

    application = bench.applications.get("app")
    assert application is not None
    bench.clock.advance(0.002)
    found = bench.processor.submit_one(application, b"x", bench.clock.now() - 0.002)

    assert isinstance(found, tuple)
    query_id, output = found
    assert output.text == b"out:x"
    assert query_id == bench.observer.finished[0][0] + 1, "ids go on"
    assert bench.observer.from_cache == [("app", pytest.approx(0.002))]
    assert (bench.observer.counts["hit"], bench.observer.counts["miss"]) == (1, 1)
    assert len(bench.observer.finished) == 1, "the miss alone"


def test_the_second_of_two_equal_misses_waits_for_the_first() -> None:
    bench = Bench()
    container = bench.serve()
    first, second = missed(bench), missed(bench)
    container.answer()

    assert answer(first) == answer(second) == "out:x"
    assert container.inputs == [[b"x"]]
    assert bench.observer.counts["coalesced"] == 1


def test_a_miss_has_its_deadline() -> None:
    bench = Bench()
    bench.serve(slo_ms=20)
    request = missed(bench)
    bench.clock.advance(0.021)
    assert default(request) is DefaultReason.SLO


def test_without_a_link_or_a_version_the_default_is_immediate() -> None:
    bench = Bench()
    bench.configure([bench.app_record()])
    assert default(missed(bench)) is DefaultReason.NO_REPLICA
    bench.configure(links={"app": ("m",)}, current={"m": "1"})
    assert default(missed(bench)) is DefaultReason.NO_REPLICA


def test_a_version_without_cache_computes_every_query() -> None:
    bench = Bench()
    container = bench.serve(model={"cache": False, "batch_size": 1})
    first, second = missed(bench), missed(bench)
    container.answer(0, [b"1"])
    container.answer(1, [b"2"])

    assert (answer(first), answer(second)) == ("1", "2")
    assert bench.observer.counts["bypassed"] == 2


def test_a_new_version_gives_its_own_outputs_as_soon_as_it_serves() -> None:
    bench = Bench()
    old = bench.serve()
    missed(bench)
    old.answer()
    bench.configure(models=[bench.model_record("2")], current={"m": "2"})
    assert ask_one(bench) == b"out:x", "the old version serves until the new one has a replica"

    new = bench.container("2")
    missed(bench)
    new.answer(0, [b"new"])
    assert ask_one(bench) == b"new"
    assert answer(bench.ask(b"x", version="1")) == "out:x", "asked for by name, the old one answers"
    assert ask_one(bench) == b"new"


def test_a_version_registered_anew_starts_with_nothing() -> None:
    bench = Bench()
    container = bench.serve()
    missed(bench)
    container.answer()
    bench.configure(delete_models=[VersionedModelId("m", "1")])
    assert default(missed(bench)) is DefaultReason.NO_REPLICA

    bench.configure(models=[bench.model_record()])
    computed = len(container.inputs)
    missed(bench)
    assert len(container.inputs) == computed + 1


def test_an_application_that_is_isolated_later_sees_no_shared_output() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1})
    missed(bench)
    container.answer()
    assert ask_one(bench) == b"out:x"

    bench.configure([bench.app_record(isolate_cache=True)])
    missed(bench)
    container.answer()
    assert ask_one(bench) == b"out:x"
    assert len(container.inputs) == 2


def test_a_link_taken_away_takes_the_outputs_with_it() -> None:
    bench = Bench()
    container = bench.serve()
    missed(bench)
    container.answer()
    assert ask_one(bench) == b"out:x"

    bench.configure(links={"app": ()})
    assert default(missed(bench)) is DefaultReason.NO_REPLICA
