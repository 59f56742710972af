"""Which version serves, and what deployments do to queries (design decisions 12 and 13)."""

from __future__ import annotations

import pytest

from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.query.applications import choose_serving

from .support import Bench, answer, default, only

ONE = VersionedModelId("m", "1")
TWO = VersionedModelId("m", "2")


@pytest.mark.parametrize(
    ("current", "serving", "registered", "ready", "chosen"),
    [
        (None, None, "12", "12", None),
        ("1", None, "", "", None),
        ("1", None, "1", "", "1"),
        ("2", "1", "12", "1", "1"),
        ("2", "1", "12", "12", "2"),
        ("2", "1", "12", "", "2"),
        ("2", "1", "2", "1", "2"),
        ("2", "2", "12", "1", "2"),
        ("1", "2", "12", "12", "1"),
        ("1", "2", "12", "2", "2"),
        ("3", "1", "12", "1", None),
    ],
)
def test_choice_of_the_serving_version(
    current: str | None, serving: str | None, registered: str, ready: str, chosen: str | None
) -> None:
    assert choose_serving(current, serving, registered, ready.__contains__) == chosen


def test_the_old_version_serves_until_the_new_one_has_a_replica() -> None:
    bench = Bench()
    old = bench.serve()
    bench.configure(models=[bench.model_record("2")], current={"m": "2"})

    during = bench.ask(b"x")
    old.answer(outputs=[b"old"])
    new = bench.container("2")
    after = bench.ask(b"x")
    new.answer(outputs=[b"new"])

    assert (answer(during), answer(after)) == ("old", "new")
    assert bench.processor.served_versions == {"m": "2"}


def test_queries_under_way_at_the_switch_are_answered_by_the_old_version() -> None:
    bench = Bench()
    old = bench.serve(model={"batch_size": 1})
    requests = [bench.ask(b"%d" % number) for number in range(4)]
    bench.configure(models=[bench.model_record("2")], current={"m": "2"})
    bench.container("2")

    for index in range(4):
        old.answer(index)

    assert [answer(request) for request in requests] == [f"out:{n}" for n in range(4)]


def test_a_roll_back_is_immediate() -> None:
    bench = Bench()
    old = bench.serve()
    bench.configure(models=[bench.model_record("2")], current={"m": "2"})
    bench.container("2")
    bench.configure(current={"m": "1"})

    request = bench.ask(b"x")
    old.answer()

    assert answer(request) == "out:x"


def test_a_version_scaled_to_zero_after_it_served_is_not_replaced_by_an_older_one() -> None:
    bench = Bench()
    bench.serve()
    bench.configure(models=[bench.model_record("2")], current={"m": "2"})
    new = bench.container("2")
    new.die()

    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA


def test_when_the_old_version_is_deleted_early_the_new_one_takes_over() -> None:
    bench = Bench()
    bench.serve()
    bench.configure(models=[bench.model_record("2")], current={"m": "2"})
    bench.configure(delete_models=[ONE])
    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA

    new = bench.container("2")
    request = bench.ask(b"x")
    new.answer()

    assert answer(request) == "out:x"


def test_a_fresh_worker_learns_from_the_store_which_version_served() -> None:
    bench = Bench()
    bench.configure(
        [bench.app_record()],
        [bench.model_record("1"), bench.model_record("2")],
        {"app": ("m",)},
        {"m": "2"},
        {"m": "1"},
    )
    old = bench.container("1")

    request = bench.ask(b"x")
    old.answer()
    assert answer(request) == "out:x"

    bench.container("2")
    assert bench.processor.served_versions == {"m": "2"}


def test_a_model_whose_current_version_was_deleted_gives_the_default() -> None:
    bench = Bench()
    bench.serve()
    bench.configure(delete_models=[ONE])

    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA


def test_deleting_a_version_fails_its_queries_and_forgets_its_answers_at_once() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1})
    bench.ask(b"cached")
    container.answer()
    pending = [bench.ask(b"%d" % number) for number in range(4)]
    bench.configure(delete_models=[ONE])

    assert [default(request) for request in pending] == [DefaultReason.NO_REPLICA] * 4
    assert default(bench.ask(b"cached")) is DefaultReason.NO_REPLICA
    assert len(bench.cache) == bench.cache.in_flight == 0
    container.answer(1)
    assert len(bench.cache) == 0


def test_a_registration_anew_answers_neither_from_the_old_cache_nor_from_old_replies() -> None:
    bench = Bench()
    container = bench.serve(model={"batch_size": 1})
    bench.ask(b"cached")
    container.answer(outputs=[b"stale"])
    bench.ask(b"flying")
    bench.ask(b"flying too")
    bench.configure(models=[bench.model_record(batch_size=1)])

    flying = bench.ask(b"flying")
    container.answer(1, outputs=[b"stale"])
    assert flying.pending == 1
    assert container.inputs[-1] == [b"flying"], "the credit that came back is used at once"
    container.answer(-1, outputs=[b"fresh"])
    container.answer(2, outputs=[b"stale"])
    again = bench.ask(b"cached")
    container.answer(-1, outputs=[b"fresh"])

    assert answer(flying) == answer(again) == answer(bench.ask(b"cached")) == "fresh"
    generations = [batch.generation for batch in container.batches]
    assert generations == [2, 2, 2, 3, 3]


def test_another_objective_counts_from_the_next_query_on() -> None:
    bench = Bench()
    bench.serve(slo_ms=100)
    before = bench.ask(b"x")
    bench.configure([bench.app_record(slo_ms=20)])
    after = bench.ask(b"y")

    bench.clock.advance(0.020)
    assert default(after) is DefaultReason.SLO
    assert before.pending == 1
    bench.clock.advance(0.080)
    assert default(before) is DefaultReason.SLO


def test_another_default_output_is_given_from_the_next_query_on() -> None:
    bench = Bench()
    bench.configure([bench.app_record()])
    bench.configure([bench.app_record(default_output="-1.0")])

    assert only(bench.ask(b"x")).application.default.json == b"-1.0"


def test_a_deleted_application_is_unknown_and_its_queries_still_end() -> None:
    bench = Bench()
    bench.serve()
    request = bench.ask(b"x")
    bench.configure(delete_apps=["app"])

    assert bench.applications.get("app") is None
    bench.clock.advance(0.1)
    assert default(request) is DefaultReason.SLO


def test_unlinking_and_relinking_is_followed() -> None:
    bench = Bench()
    bench.serve()
    bench.configure(models=[bench.model_record(name="n")], current={"n": "1"})
    other = bench.container(name="n")
    bench.configure(links={"app": ()})
    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA

    bench.configure(links={"app": ("n",)})
    request = bench.ask(b"x")
    other.answer()

    assert answer(request) == "out:x"


def test_five_hundred_applications_come_and_half_of_them_go() -> None:
    bench = Bench()
    bench.configure([bench.app_record(str(number)) for number in range(500)])
    assert len(bench.applications.names()) == 500

    bench.configure(delete_apps=[str(number) for number in range(250)])

    assert sorted(bench.applications.names()) == sorted(str(n) for n in range(250, 500))
