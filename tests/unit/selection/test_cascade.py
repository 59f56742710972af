"""Cascades: who is asked after whom, and which answer counts when the deadline comes."""

from __future__ import annotations

import math
import random

import pytest

from clipper.selection.catalog import make_policy
from clipper.selection.policy import Arm, Choice, SelectionPolicy
from clipper.selection.trust import Features, Gate, read_features
from tests.unit.selection.simulation import NOBODY_SPECIAL, make_arms, says

ARMS = make_arms(3)
A, B, C = ARMS
SURE = says('{"label": "x", "confidence": 0.95}')
UNSURE = says('{"label": "y", "confidence": 0.55}')
SILENT = says("z")


def _start(
    options: dict[str, object], arms: tuple[Arm, ...] = ARMS
) -> tuple[SelectionPolicy, Choice]:
    policy = make_policy("cascade", options)
    return policy, policy.choose({}, arms, NOBODY_SPECIAL, random.Random(0))


def test_the_cheapest_model_is_asked_alone() -> None:
    assert _start({})[1].ask == (A,)
    policy, choice = _start({"order": ["m2", "m9", "m0"]})
    assert choice.ask == (C,)
    assert choice.arms == (C, A)  # m1 is not in the order and is never asked
    assert policy.choose({}, (B,), NOBODY_SPECIAL, random.Random(0)).ask == ()


def test_a_sure_answer_ends_the_query_and_an_unsure_one_asks_the_next() -> None:
    policy, choice = _start({"threshold": 0.9})

    assert policy.advance({}, choice, {}, ()) == ()
    assert policy.advance({}, choice, {A: SURE}, ()) is None
    assert policy.advance({}, choice, {A: UNSURE}, ()) == (B,)
    assert policy.advance({}, choice, {A: UNSURE, B: UNSURE}, ()) == (C,)
    assert policy.advance({}, choice, {A: UNSURE, B: SURE}, ()) is None
    assert policy.advance({}, choice, {A: UNSURE, B: UNSURE, C: SILENT}, ()) is None


def test_a_model_that_says_nothing_of_its_confidence_is_unsure() -> None:
    policy, choice = _start({"threshold": 0.0})

    assert policy.advance({}, choice, {A: SILENT}, ()) == (B,)


def test_a_missing_model_is_passed_over() -> None:
    policy, choice = _start({})

    assert policy.advance({}, choice, {}, (A,)) == (B,)
    assert policy.advance({}, choice, {A: UNSURE}, (B,)) == (C,)
    assert policy.advance({}, choice, {A: UNSURE}, (B, C)) is None


def test_the_first_sure_answer_counts_and_else_the_dearest_that_came() -> None:
    policy, choice = _start({"threshold": 0.9})
    rng = random.Random(0)

    assert policy.combine({}, choice, {A: SURE, B: UNSURE}, rng).supporters == (A,)
    late = policy.combine({}, choice, {A: UNSURE, B: UNSURE}, rng)
    assert late.supporters == (B,)
    assert late.confidence == 0.55
    assert policy.combine({}, choice, {A: UNSURE, B: UNSURE, C: SILENT}, rng).supporters == (C,)
    only_cheap = policy.combine({}, choice, {A: UNSURE}, rng)
    assert only_cheap.output is UNSURE.output
    assert only_cheap.confidence == 0.55


def test_each_stage_may_have_its_threshold_which_stays_with_its_model() -> None:
    options: dict[str, object] = {
        "order": ["m0", "m1", "m2"],
        "thresholds": [0.5, 0.99],
        "threshold": 0.7,
    }
    policy, choice = _start(options)
    assert policy.advance({}, choice, {A: UNSURE}, ()) is None
    assert policy.advance({}, choice, {A: SILENT, B: SURE}, ()) == (C,)

    _, without_first = _start(options, (B, C))
    assert policy.advance({}, without_first, {B: SURE}, ()) == (C,)


def test_entropy_is_compared_from_below() -> None:
    policy, choice = _start({"signal": "entropy", "threshold": 0.5})
    peaked = says('{"probabilities": {"x": 0.9, "y": 0.05, "z": 0.05}}')
    flat = says('{"probabilities": {"x": 0.4, "y": 0.3, "z": 0.3}}')

    assert policy.advance({}, choice, {A: peaked}, ()) is None
    assert policy.advance({}, choice, {A: flat}, ()) == (B,)


def test_a_gate_decides_by_its_coefficients_and_gives_the_confidence() -> None:
    gates = {"m0": {"intercept": -2.0, "margin": 4.0}}
    policy, choice = _start({"signal": "gate", "gates": gates, "threshold": 0.5})
    wide = says('{"probabilities": {"x": 0.8, "y": 0.2}}')
    narrow = says('{"probabilities": {"x": 0.55, "y": 0.45}}')

    assert policy.advance({}, choice, {A: wide}, ()) is None
    assert policy.advance({}, choice, {A: narrow}, ()) == (B,)
    assert policy.advance({}, choice, {A: narrow, B: wide}, ()) == (C,)  # m1 has no gate
    combined = policy.combine({}, choice, {A: wide}, random.Random(0))
    assert combined.confidence == pytest.approx(1 / (1 + math.exp(2.0 - 4.0 * 0.6)))


def test_features_of_votes() -> None:
    assert read_features(SILENT) is None
    assert read_features(says('{"label": 1, "confidence": 0.9}')) == pytest.approx(
        Features(0.9, -0.9 * math.log(0.9) - 0.1 * math.log(0.1), 0.8)
    )
    half = read_features(says('{"probabilities": [0.5, 0.25, 0.25]}'))
    assert half == pytest.approx(Features(0.5, 1.5 * math.log(2.0), 0.25))
    assert read_features(says('{"probabilities": {"x": 1.0}}')) == Features(1.0, 0.0, 1.0)


@pytest.mark.parametrize(("intercept", "expected"), [(1e6, 1.0), (-1e6, 0.0), (0.0, 0.5)])
def test_gates_do_not_overflow(intercept: float, expected: float) -> None:
    assert Gate(intercept=intercept).probability(Features(1.0, 0.0, 1.0)) == expected
