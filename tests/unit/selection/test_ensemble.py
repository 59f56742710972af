"""Votes and means of all models, when some of them are missing."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import pytest

from clipper.selection.catalog import make_policy
from clipper.selection.policy import Arm, Combined, State
from clipper.selection.single import ask_all
from clipper.selection.state import apply
from clipper.selection.votes import Vote
from tests.unit.selection.simulation import Run, draw_labels, make_arms, says

ARMS = make_arms(5)
A, B, C, D, E = ARMS
ALL = ask_all(ARMS)


def _combine(
    options: dict[str, object], votes: Mapping[Arm, Vote], state: State | None = None
) -> Combined:
    policy = make_policy("ensemble", options)
    return policy.combine(state or {}, ALL, votes, random.Random(0))


def _text(combined: Combined) -> str:
    assert combined.output is not None
    return combined.output.text.decode()


def test_the_majority_wins_and_missing_members_count_as_dissent() -> None:
    combined = _combine({}, {A: says("x"), B: says("y"), D: says("y")})

    assert _text(combined) == "y"
    assert combined.confidence == pytest.approx(2 / 5)
    assert combined.supporters == (B, D)


def test_numbers_that_are_equal_are_one_vote() -> None:
    assert _combine({}, {A: says("4"), B: says("3"), C: says("3.0")}).supporters == (B, C)


def test_a_tie_goes_to_the_heaviest_voter_then_to_the_first_linked() -> None:
    tie = {E: says("y"), A: says("x"), B: says("y"), D: says("x")}
    assert _text(_combine({}, tie)) == "x"
    assert _text(_combine({}, dict(reversed(tie.items())))) == "x"

    weights = {"m0": 1.0, "m3": 2.0, "m1": 0.5, "m4": 2.5}
    assert _text(_combine({"combine": "weighted", "weights": weights}, tie)) == "y"


def test_the_output_is_that_of_the_heaviest_supporter() -> None:
    votes = {A: says("3"), B: says("3.0")}

    assert _text(_combine({"combine": "weighted", "weights": {"m0": 1.0, "m1": 2.0}}, votes)) == (
        "3.0"
    )


@pytest.mark.parametrize(
    ("said", "missing", "decided"),
    [
        ("xx", "", False),
        ("xxx", "", True),
        ("xxy", "", False),
        ("xxyx", "", True),
        ("xxyz", "", False),  # y or z could draw level and x would still win: but not surely
        ("xx", "CDE", True),
        ("xx", "DE", True),
        ("xx", "E", False),
        ("", "ABCD", False),
    ],
)
def test_the_wait_ends_when_the_vote_is_decided(said: str, missing: str, decided: bool) -> None:
    votes = {arm: says(label) for arm, label in zip(ARMS, said, strict=False)}
    gone = [ARMS["ABCDE".index(letter)] for letter in missing]

    further = make_policy("ensemble", {}).advance({}, ALL, votes, gone)

    assert (further is None) is decided


def test_what_is_decided_early_is_what_all_votes_would_have_decided() -> None:
    rng = random.Random(11)
    policy = make_policy("ensemble", {"combine": "weighted", "weights": {"m0": 2.5, "m3": 0.5}})
    early = 0
    for _ in range(500):
        votes = {arm: says(rng.choice("xyz")) for arm in ARMS}
        final = policy.combine({}, ALL, votes, rng)
        order = rng.sample(ARMS, 5)
        for heard in range(1, 5):
            some = {arm: votes[arm] for arm in order[:heard]}
            if policy.advance({}, ALL, some, ()) is None:
                early += 1
                decided = policy.combine({}, ALL, some, rng)
                assert decided.output is not None
                assert final.output is not None
                assert decided.output.text == final.output.text
                break
    assert early > 100


def test_learned_weights_let_one_good_model_overrule_two_poor_ones() -> None:
    state = {"n/key0": 200.0, "loss/key0": 4.0}
    for arm in ARMS[1:]:
        state |= {f"n/{arm.key}": 200.0, f"loss/{arm.key}": 80.0}
    votes = {A: says("x"), B: says("y"), C: says("y")}

    assert _text(_combine({"combine": "weighted"}, votes)) == "y"
    assert _text(_combine({"combine": "weighted"}, votes, state)) == "x"


def test_models_worse_than_guessing_have_no_vote_unless_all_are() -> None:
    bad = {f"{kind}/{arm.key}": 100.0 for arm in ARMS for kind in ("n", "loss")}
    assert _text(_combine({"combine": "weighted"}, {A: says("x")}, bad)) == "x"

    good = bad | {"loss/key1": 10.0}
    combined = _combine({"combine": "weighted"}, {A: says("x"), C: says("x"), B: says("y")}, good)
    assert _text(combined) == "y"
    assert combined.confidence == pytest.approx(1.0)


def test_a_learned_ensemble_is_no_worse_than_its_best_member() -> None:
    rates = [0.45, 0.14, 0.19, 0.13, 0.03]
    table = draw_labels(rates, 3_000, np.random.default_rng(1))

    learned = Run("ensemble", {"combine": "weighted"}, table, 0).wrong[1_000:].mean()

    assert learned < (table[1_000:, 4] != 0).mean() + 0.003


def test_mean_and_median_of_numbers() -> None:
    votes = {A: says("1"), B: says("2"), C: says("9")}

    assert _text(_combine({"combine": "mean"}, votes)) == "4"
    assert _text(_combine({"combine": "median"}, votes)) == "2"
    assert _text(_combine({"combine": "median"}, {A: says("1"), B: says("2")})) == "1.5"
    weights = {"m0": 2.0, "m1": 1.0, "m2": 1.0}
    assert _text(_combine({"combine": "mean", "weights": weights}, votes)) == "3.25"


def test_a_missing_number_is_replaced_by_what_the_model_says_on_average() -> None:
    policy = make_policy("ensemble", {"combine": "mean", "weights": {}})
    state: dict[str, float] = {}
    for number in ("10", "20"):
        votes = {A: says("1"), B: says(number)}
        state = apply(state, policy.observe(state, ALL, {}, None, votes, None), None)

    combined = policy.combine(state, ALL, {A: says("1"), C: says("4")}, random.Random(0))

    assert float(_text(combined)) == pytest.approx((1 + 15 + 4) / 3)
    assert combined.confidence == pytest.approx(2 / 5)  # an estimate makes nobody surer
    assert combined.supporters == (A, C)


def test_numbers_too_large_to_be_summed_up_are_not_averaged() -> None:
    policy = make_policy("ensemble", {"combine": "mean", "weights": {}})
    huge = {A: says("1e308"), B: says("1e308")}

    assert not policy.observe({}, ALL, {}, None, huge, None)
    assert _text(policy.combine({}, ALL, huge, random.Random(0))) == "1e+308"


def test_averages_alone_are_no_answer() -> None:
    state = {"heard/key0": 4.0, "said/key0": 8.0}

    assert _combine({"combine": "mean"}, {}, state).output is None
    assert _combine({"combine": "mean"}, {B: says("cat")}, state).output is None


def test_numbers_are_not_decided_before_all_are_there() -> None:
    policy = make_policy("ensemble", {"combine": "median"})

    assert policy.advance({}, ALL, {arm: says("1") for arm in ARMS[:4]}, ()) == ()


def test_only_what_learns_says_so() -> None:
    learns = {
        "majority": False,
        "weighted": True,
        "mean": True,
        "median": True,
    }
    for combine, expected in learns.items():
        assert make_policy("ensemble", {"combine": combine}).learns is expected
    fixed = make_policy("ensemble", {"combine": "weighted", "weights": {"m0": 2.0}})
    assert not fixed.learns
