"""`QueryProcessor.cached`: the short way of queries whose output is in the cache."""

from __future__ import annotations

import pytest

from clipper.datatypes import VersionedModelId
from clipper.query.ids import QueryIds

from .support import Bench, Container, answer


def cached(bench: Bench, data: bytes = b"x", app: str = "app") -> bytes | None:
    """Ask as the frontend does, and return the output's text."""
    application = bench.applications.get(app)
    assert application is not None
    found = bench.processor.cached(application, data, bench.clock.now())
    return found[1].text if found is not None else None


def computed(bench: Bench, container: Container, data: bytes = b"x", app: str = "app") -> None:
    bench.ask(data, app=app)
    container.answer()


def test_what_is_in_the_cache_is_answered_with_an_id_and_counted() -> None:
    bench = Bench()
    container = bench.serve()
    application = bench.applications.get("app")
    assert application is not None
    assert cached(bench) is None
    computed(bench, container)
    before = bench.processor.ids.issued
    bench.clock.advance(0.002)

    found = bench.processor.cached(application, b"x", bench.clock.now() - 0.002)

    assert found is not None
    query_id, output = found
    assert output.text == b"out:x"
    assert query_id == QueryIds(query_id >> 32, _counter=before).next(), "one id, not used before"
    assert bench.observer.from_cache == [("app", pytest.approx(0.002))]
    assert bench.observer.counts["hit"] == 1
    assert len(bench.observer.finished) == 1, "the first query alone"


def test_what_is_not_in_the_cache_leaves_no_trace() -> None:
    bench = Bench()
    container = bench.serve()
    computed(bench, container)
    before = (dict(bench.observer.counts), bench.processor.ids.issued)

    assert cached(bench, b"other") is None
    assert (dict(bench.observer.counts), bench.processor.ids.issued) == before
    assert bench.observer.from_cache == []


def test_without_a_link_a_version_or_a_cache_there_is_nothing() -> None:
    bench = Bench()
    bench.configure([bench.app_record()])
    assert cached(bench) is None
    bench.configure(links={"app": ("m",)}, current={"m": "1"})
    assert cached(bench) is None
    bench.configure(models=[bench.model_record(cache=False)])
    computed(bench, bench.container())
    assert cached(bench) is None


def test_a_new_version_gives_its_own_outputs_as_soon_as_it_serves() -> None:
    bench = Bench()
    computed(bench, bench.serve())
    assert cached(bench) == b"out:x"

    bench.configure(models=[bench.model_record("2")], current={"m": "2"})
    assert cached(bench) == b"out:x", "the old version serves until the new one has a replica"
    new = bench.container("2")
    assert cached(bench) is None
    bench.ask(b"x")
    new.answer(0, [b"new"])
    assert cached(bench) == b"new"


def test_a_version_registered_anew_starts_with_nothing() -> None:
    bench = Bench()
    computed(bench, bench.serve())
    assert cached(bench) == b"out:x"
    bench.configure(delete_models=[VersionedModelId("m", "1")])
    assert cached(bench) is None
    bench.configure(models=[bench.model_record()])
    assert cached(bench) is None


def test_an_application_that_is_isolated_later_sees_no_shared_output() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1})
    computed(bench, container)
    assert cached(bench) == b"out:x"

    bench.configure([bench.app_record(isolate_cache=True)])
    assert cached(bench) is None
    computed(bench, container)
    assert cached(bench) == b"out:x"
    assert len(container.inputs) == 2


def test_a_link_taken_away_takes_the_outputs_with_it() -> None:
    bench = Bench()
    computed(bench, bench.serve())
    assert cached(bench) == b"out:x"
    bench.configure(links={"app": ()})
    assert cached(bench) is None


def test_a_pinned_version_is_not_taken_for_the_serving_one() -> None:
    bench = Bench()
    old = bench.serve()
    computed(bench, old)
    bench.configure(models=[bench.model_record("2")], current={"m": "2"})
    new = bench.container("2")
    bench.ask(b"x")
    new.answer(0, [b"new"])

    assert cached(bench) == b"new"
    assert answer(bench.ask(b"x", version="1")) == "out:x"
    assert cached(bench) == b"new"
