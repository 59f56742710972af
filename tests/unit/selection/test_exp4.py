"""Exp4: experts with weights, in its three variants."""

from __future__ import annotations

import collections
import math
import random

import pytest

from clipper.selection.catalog import make_policy
from clipper.selection.policy import Choice, State
from clipper.selection.single import ask_all
from clipper.selection.state import apply
from tests.unit.selection.simulation import NOBODY_SPECIAL, make_arms, says

ARMS = make_arms(3)
A, B, C = ARMS
ALL: Choice = ask_all(ARMS)
STATE = {"w/key0": math.log(5.0), "w/key1": math.log(3.0), "w/key2": math.log(2.0)}
PURE: dict[str, object] = {"gamma": 0.0, "eta": 0.1}


def _answers(variant: str, votes: dict[object, object], state: State = STATE) -> dict[str, float]:
    """Label → how often it is the answer."""
    policy = make_policy("exp4", PURE | {"variant": variant})
    rng = random.Random(0)
    counted: collections.Counter[str] = collections.Counter()
    for _ in range(4_000):
        output = policy.combine(state, ALL, votes, rng).output  # type: ignore[arg-type]
        assert output is not None
        counted[output.text.decode()] += 1
    return {label: count / 4_000 for label, count in counted.items()}


@pytest.mark.parametrize("variant", ["a", "b", "c"])
def test_all_models_are_asked(variant: str) -> None:
    policy = make_policy("exp4", {"variant": variant})

    assert policy.choose({}, ARMS, NOBODY_SPECIAL, random.Random(0)) == ALL


def test_a_draws_a_label_by_the_weight_of_its_voters() -> None:
    votes = {A: says("x"), B: says("y"), C: says("y")}

    assert _answers("a", votes) == pytest.approx({"x": 0.5, "y": 0.5}, abs=0.03)
    assert _answers("a", {A: says("x"), B: says("y")}) == pytest.approx(
        {"x": 5 / 8, "y": 3 / 8}, abs=0.03
    )


def test_b_draws_a_label_from_the_models_probabilities() -> None:
    votes = {
        A: says('{"probabilities": {"x": 0.8, "z": 0.2}}'),
        B: says("y"),
    }

    answers = _answers("b", votes)

    assert answers["y"] == pytest.approx(3 / 8, abs=0.03)
    assert answers["z"] == pytest.approx(1 / 8, abs=0.03)  # a label that no model names first
    assert answers['{"probabilities": {"x": 0.8, "z": 0.2}}'] == pytest.approx(0.5, abs=0.03)


def test_c_takes_the_label_with_most_weight() -> None:
    assert _answers("c", {A: says("x"), B: says("y"), C: says("z")}) == {"x": 1.0}


@pytest.mark.parametrize("variant", ["a", "c"])
def test_missing_models_lower_the_confidence(variant: str) -> None:
    policy = make_policy("exp4", PURE | {"variant": variant})

    combined = policy.combine(STATE, ALL, {A: says("x"), C: says("x")}, random.Random(0))

    assert combined.confidence == pytest.approx(0.7)
    assert combined.supporters == (A, C)


def test_a_blames_all_who_voted_for_a_wrong_draw_by_its_probability() -> None:
    policy = make_policy("exp4", PURE)
    votes = {A: says("x"), B: says("y"), C: says("y")}
    losses = {A: 0.0, B: 1.0, C: 1.0}

    after = apply(STATE, policy.observe(STATE, ALL, losses, 1.0, votes, says("y")), None)

    blame = 0.1 / 0.5
    assert after["w/key0"] == STATE["w/key0"]
    assert after["w/key1"] == pytest.approx(STATE["w/key1"] - blame)
    assert after["w/key2"] == pytest.approx(STATE["w/key2"] - blame)
    assert apply(STATE, policy.observe(STATE, ALL, losses, 0.0, votes, says("x")), None) == STATE


def test_b_blames_models_as_far_as_they_were_for_the_label() -> None:
    policy = make_policy("exp4", PURE | {"variant": "b"})
    votes = {
        A: says('{"probabilities": {"x": 0.6, "y": 0.4}}'),
        B: says('{"probabilities": {"x": 0.0, "y": 1.0}}'),
        C: says("x"),
    }
    drawn = 0.5 * 0.4 + 0.3

    additions = policy.observe(STATE, ALL, {A: 0.0, B: 1.0, C: 0.0}, 1.0, votes, says("y"))

    after = apply(STATE, additions, None)
    assert after["w/key0"] - STATE["w/key0"] == pytest.approx(-0.1 * 0.4 / drawn)
    assert after["w/key1"] - STATE["w/key1"] == pytest.approx(-0.1 * 1.0 / drawn)
    assert after["w/key2"] == STATE["w/key2"]


@pytest.mark.parametrize("variant", ["a", "b", "c"])
def test_c_and_feedback_without_the_draw_take_each_models_own_loss(variant: str) -> None:
    policy = make_policy("exp4", PURE | {"variant": variant})

    after = apply(STATE, policy.observe(STATE, ALL, {A: 0.0, B: 1.0, C: 0.5}, None), None)

    assert after["w/key0"] == STATE["w/key0"]
    assert after["w/key1"] == pytest.approx(STATE["w/key1"] - 0.1)
    assert after["w/key2"] == pytest.approx(STATE["w/key2"] - 0.05)


def test_blame_for_draws_is_on_average_each_models_own_loss() -> None:
    votes = {A: says("x"), B: says("y"), C: says("z")}
    policy = make_policy("exp4", PURE | {"depth": 700.0})
    rng = random.Random(0)
    total = dict.fromkeys(STATE, 0.0)
    for _ in range(20_000):
        output = policy.combine(STATE, ALL, votes, rng).output
        assert output is not None
        label = output.text.decode()
        wrong = float(label != "x")
        losses = {A: 0.0, B: 1.0, C: 1.0}
        for addition in policy.observe(STATE, ALL, losses, wrong, votes, says(label)):
            total[addition.field] += addition.amount / 20_000

    assert total == pytest.approx({"w/key0": 0.0, "w/key1": -0.1, "w/key2": -0.1}, abs=0.005)


def test_an_answer_that_nobody_gives_any_more_leaves_each_models_own_loss() -> None:
    """A model may answer differently when it is asked again to judge it."""
    policy = make_policy("exp4", PURE)
    votes = {A: says("x"), B: says("y"), C: says("y")}
    losses = {A: 0.0, B: 1.0, C: 1.0}

    additions = policy.observe(STATE, ALL, losses, 1.0, votes, says("w"))

    assert additions == policy.observe(STATE, ALL, losses, None)


def test_a_late_model_fares_like_the_average_of_the_others() -> None:
    policy = make_policy("exp4", PURE | {"variant": "c"})

    after = apply(STATE, policy.observe(STATE, ALL, {A: 0.0, B: 1.0}, None), None)

    average = (5.0 * 0.0 + 3.0 * 1.0) / 8.0
    assert after["w/key2"] == pytest.approx(STATE["w/key2"] - 0.1 * average)


def test_only_c_can_know_early_what_the_answer_is() -> None:
    votes = {A: says("x"), B: says("x")}
    for variant, decided in (("a", False), ("b", False), ("c", True)):
        policy = make_policy("exp4", {"variant": variant})
        assert (policy.advance(STATE, ALL, votes, ()) is None) is decided


def test_no_expert_has_less_than_its_share_of_gamma() -> None:
    state = {"w/key0": 0.0, "w/key1": 0.0, "w/key2": -500.0}
    policy = make_policy("exp4", {"gamma": 0.3, "variant": "c"})

    combined = policy.combine(state, ALL, {C: says("x")}, random.Random(0))

    assert combined.confidence == pytest.approx(0.1)
