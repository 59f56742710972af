"""Queries whose models a policy chooses, under a virtual clock."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.errors import InvalidRequest
from clipper.query.query import PredictRequest
from clipper.query.selected import SelectedQuery
from clipper.selection.policy import Arm
from clipper.store.selection import StateKey, StoredState

from .support import Bench, Container, answer, break_policy, default, only

SLO_S = 0.1


def serve(bench: Bench, policy: str, models: str = "abc", **app: Any) -> dict[str, Container]:
    """Register ``app`` with a policy over some models, and connect a container to each."""
    bench.configure(
        [bench.app_record(policy=policy, slo_ms=SLO_S * 1000, **app)],
        [bench.model_record(name=name) for name in models],
        {"app": tuple(models)},
        dict.fromkeys(models, "1"),
    )
    return {name: bench.container(name=name) for name in models}


def say(container: Container, text: str) -> None:
    """Answer everything in the container's last batch with one text."""
    [*_, batch] = container.inputs
    container.answer(outputs=[text.encode()] * len(batch))


def query_of(request: PredictRequest) -> SelectedQuery:
    query = only(request)
    assert isinstance(query, SelectedQuery)
    return query


def extra(request: PredictRequest) -> Any:
    """Return what the response says beyond the output."""
    return json.loads(b"{" + query_of(request).extra[1:] + b"}")


def test_an_ensemble_answers_when_the_vote_is_decided_and_names_who_was_late() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble")

    request = bench.ask(b"x")
    say(containers["a"], "cat")
    assert not only(request).done
    say(containers["c"], "cat")

    assert answer(request) == "cat"
    assert extra(request)["models"] == {"answered": ["a:1", "c:1"], "late": ["b:1"]}
    assert extra(request)["confidence"] == pytest.approx(2 / 3, abs=1e-6)


def test_at_the_deadline_an_ensemble_answers_with_what_has_arrived() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble")

    request = bench.ask(b"x")
    say(containers["b"], "dog")
    bench.clock.advance(SLO_S)

    assert answer(request) == "dog"
    assert extra(request)["models"]["late"] == ["a:1", "c:1"]
    [(_, reason, latency_s)] = bench.observer.finished
    assert reason is None
    assert latency_s == pytest.approx(SLO_S, abs=0.002)


def test_an_ensemble_of_which_nobody_answers_gives_the_default() -> None:
    bench = Bench()
    serve(bench, "ensemble")

    request = bench.ask(b"x")
    bench.clock.advance(SLO_S)

    assert default(request) is DefaultReason.SLO


def test_a_late_member_still_fills_the_cache() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble")
    first = bench.ask(b"x")
    say(containers["a"], "cat")
    bench.clock.advance(SLO_S)
    say(containers["b"], "dog")
    say(containers["c"], "dog")

    second = bench.ask(b"x")

    assert answer(first) == "cat"
    assert answer(second) == "dog"


def test_a_member_that_fails_is_missing_and_the_others_decide() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble")

    request = bench.ask(b"x")
    containers["a"].answer(errors={0: "no"})
    say(containers["b"], "cat")
    say(containers["c"], "cat")

    assert answer(request) == "cat"
    assert extra(request)["models"] == {"answered": ["b:1", "c:1"], "late": []}


def test_a_member_known_to_be_too_slow_is_missing_and_ends_no_query() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", "abc")
    for index in range(4):
        bench.ask(b"%d" % index)
        bench.clock.advance(1.5 * SLO_S)
        say(containers["a"], "cat")
    bench.ask(b"trial")  # the slow one is idle and may show that it has recovered

    request = bench.ask(b"x")

    assert query_of(request).missing == [Arm("a:1#2", "a")]
    assert not only(request).done
    for name in "bc":
        containers[name].answer(outputs=[b"dog"])
        say(containers[name], "dog")
    assert answer(request) == "dog"


def test_below_the_required_confidence_the_default_is_given_with_its_reason() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", min_confidence=0.6)

    request = bench.ask(b"x")
    for name, text in zip("abc", ("cat", "dog", "cow"), strict=True):
        say(containers[name], text)

    assert default(request) is DefaultReason.LOW_CONFIDENCE
    assert extra(request)["confidence"] == pytest.approx(1 / 3, abs=1e-6)
    record = bench.choices.of(only(request))
    assert record.answer is not None, "feedback must find what was held back"


def test_a_decided_vote_waits_for_the_confidence_that_is_asked_for() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", min_confidence=0.9)

    request = bench.ask(b"x")
    say(containers["a"], "cat")
    say(containers["b"], "cat")
    assert not only(request).done
    say(containers["c"], "cat")

    assert answer(request) == "cat"
    assert extra(request)["confidence"] == 1.0


def test_a_cascade_asks_the_dear_model_only_when_the_cheap_one_is_unsure() -> None:
    bench = Bench()
    containers = serve(bench, "cascade", "ab", policy_options={"threshold": 0.8})

    sure, unsure = bench.ask(b"x"), bench.ask(b"y")
    containers["a"].answer(0, [b'{"label": "cat", "confidence": 0.9}'], None)
    containers["a"].answer(1, [b'{"label": "cat", "confidence": 0.5}'], None)

    bench.clock.settle()

    assert query_of(sure).output is not None
    assert not only(unsure).done
    assert containers["b"].inputs == [[b"y"]]
    say(containers["b"], "dog")
    assert answer(unsure) == "dog"


def test_a_cascade_whose_dear_model_is_late_answers_with_the_cheap_one() -> None:
    bench = Bench()
    containers = serve(bench, "cascade", "ab", policy_options={"threshold": 0.8})

    request = bench.ask(b"y")
    say(containers["a"], '{"label": "cat", "confidence": 0.5}')
    bench.clock.advance(SLO_S)

    assert json.loads(answer(request))["label"] == "cat"


def test_a_shadow_is_asked_once_the_reply_has_left_and_never_returned() -> None:
    bench = Bench()
    containers = serve(bench, "shadow", "ab", policy_options={"model": "a"})

    request = bench.ask(b"x")
    assert containers["b"].inputs == []
    say(containers["a"], "cat")
    bench.clock.settle()
    assert answer(request) == "cat"
    assert containers["b"].inputs == [[b"x"]]
    say(containers["b"], "dog")

    assert bench.observer.counts["shadow differs"] == 1
    assert sorted(bench.choices.of(only(request)).outputs.values()) == [b"cat", b"dog"]


def test_what_was_chosen_is_recorded_with_its_propensities() -> None:
    bench = Bench()
    containers = serve(bench, "epsilon-greedy", policy_options={"epsilon": 0.3})

    request = bench.ask(b"x", uid="")
    [asked] = [container for container in containers.values() if container.inputs]
    say(asked, "cat")

    record = bench.choices.of(only(request))
    assert sum(record.propensities) == pytest.approx(1.0)
    assert min(record.propensities) >= 0.1 - 1e-9
    assert [arm.name for arm in record.arms] == ["a", "b", "c"]
    assert (record.answer, record.input, len(record.asked)) == (b"cat", b"x", 1)


def test_arms_of_a_new_registration_are_new() -> None:
    bench = Bench()
    serve(bench, "static", "a")
    application = bench.applications.get("app")
    assert application is not None
    [before] = bench.processor.arms(application).arms

    bench.configure(models=[bench.model_record(name="a")])

    [after] = bench.processor.arms(application).arms
    assert (before.name, before.version) == (after.name, after.version)
    assert before.key != after.key


async def test_a_users_state_is_read_before_the_first_choice() -> None:
    bench = Bench()
    containers = serve(bench, "epsilon-greedy", "ab", policy_options={"epsilon": 0.0})
    application = bench.applications.get("app")
    assert application is not None
    a, b = bench.processor.arms(application).arms
    generation = application.record.generation
    bench.selection_store.states[StateKey("app", generation, "ann")] = StoredState(
        9, {f"n/{a.key}": 50.0, f"loss/{a.key}": 50.0, f"n/{b.key}": 50.0, f"loss/{b.key}": 0.0}
    )

    request = bench.ask(b"x", uid="ann")
    assert not any(container.inputs for container in containers.values())
    await _turns()
    bench.clock.settle()

    assert containers["b"].inputs == [[b"x"]]
    say(containers["b"], "dog")
    assert answer(request) == "dog"


async def test_a_store_that_is_away_costs_a_part_of_the_objective_once() -> None:
    bench = Bench()
    containers = serve(bench, "exp3", "ab")
    bench.selection_store.open.clear()

    request = bench.ask(b"x", uid="ann")
    await _turns()
    assert not any(container.inputs for container in containers.values())
    bench.clock.advance(SLO_S / 4)

    assert sum(len(container.inputs) for container in containers.values()) == 1
    bench.selection_store.up = False
    bench.selection_store.open.set()
    await _turns()
    bench.ask(b"y", uid="bob")
    assert sum(len(container.inputs) for container in containers.values()) == 2
    assert not only(request).done


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_policy_that_raises_ends_its_own_request_and_no_other() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", "a")
    bench.configure([bench.app_record("sound", policy="static")], links={"sound": ("a",)})
    break_policy(bench)

    broken, sound = bench.ask(b"x"), bench.ask(b"x", app="sound")
    say(containers["a"], "cat")

    assert isinstance(broken.error, ArithmeticError)
    assert broken.pending == 0
    assert answer(sound) == "cat"


def test_an_application_without_models_gives_the_default() -> None:
    bench = Bench()
    bench.configure([bench.app_record(policy="exp3")])

    assert default(bench.ask(b"x")) is DefaultReason.NO_REPLICA


def test_a_batch_of_inputs_is_chosen_for_one_by_one() -> None:
    bench = Bench()
    containers = serve(bench, "ab", "ab", policy_options={"weights": {"a": 1, "b": 1}})

    request = bench.ask(*[b"%d" % number for number in range(40)])
    counts = {name: sum(map(len, container.inputs)) for name, container in containers.items()}
    bench.clock.settle()

    assert request.pending == 40
    assert min(counts.values()) > 0


def test_the_arm_of_a_model_is_known_by_both_names() -> None:
    bench = Bench()
    serve(bench, "static", "a")
    application = bench.applications.get("app")
    assert application is not None
    table = bench.processor.arms(application)

    [arm] = table.arms
    assert table.model_of[arm] == VersionedModelId("a", "1")
    assert isinstance(arm, Arm)


def test_an_unknown_policy_refuses_queries_and_feedback() -> None:
    bench = Bench()
    bench.serve(app={"policy": "Exp9"})

    with pytest.raises(InvalidRequest) as caught:
        bench.ask(b"x")

    assert caught.value.msg == "Exp9 is an invalid  selection_policy."


def test_a_decided_vote_waits_for_votes_that_make_it_sure_enough() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", min_confidence=0.8)
    agreed = bench.ask(b"x")
    say(containers["a"], "cat")
    say(containers["b"], "cat")
    assert not only(agreed).done
    say(containers["c"], "cat")

    assert answer(agreed) == "cat"
    assert extra(agreed)["confidence"] == 1.0

    doubted = bench.ask(b"y")
    say(containers["a"], "cat")
    say(containers["b"], "cat")
    say(containers["c"], "dog")

    assert default(doubted) is DefaultReason.LOW_CONFIDENCE


def test_a_decided_vote_that_is_not_sure_enough_ends_at_the_deadline() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", min_confidence=0.8)
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    say(containers["b"], "cat")
    bench.clock.advance(SLO_S)

    assert default(request) is DefaultReason.LOW_CONFIDENCE
    assert extra(request)["models"]["late"] == ["c:1"]


def test_a_vote_that_is_decided_and_sure_enough_waits_for_nobody() -> None:
    bench = Bench()
    containers = serve(bench, "ensemble", min_confidence=0.6)
    request = bench.ask(b"x")
    say(containers["a"], "cat")
    say(containers["b"], "cat")

    assert answer(request) == "cat"


def test_a_policy_that_names_a_stranger_ends_its_own_request_and_no_other() -> None:
    bench = Bench()
    containers = serve(bench, "cascade", "ab", policy_options={"threshold": 0.8})
    bench.configure([bench.app_record("sound", policy="static")], links={"sound": ("a",)})
    application = bench.applications.get("app")
    assert application is not None
    stranger = Arm("nobody#1", "nobody")

    class Astray(type(application.policy)):  # type: ignore[misc]
        def advance(self, *anything: object) -> list[Arm]:
            return [stranger]

    application.policy = Astray(Astray.Options())
    astray, sound = bench.ask(b"x"), bench.ask(b"x", app="sound")
    say(containers["a"], "cat")

    assert isinstance(astray.error, KeyError)
    assert astray.pending == 0
    assert answer(sound) == "cat"
