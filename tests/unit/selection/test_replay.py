"""Tests of off-policy evaluation on logs whose truth is known."""

from __future__ import annotations

import functools
import math
import random
import statistics
from collections.abc import Callable

import numpy as np
import pytest

from clipper.errors import InvalidRequest
from clipper.selection import estimators
from clipper.selection.estimators import Estimate, Term
from clipper.selection.losses import LossKind
from clipper.selection.policy import Choice
from clipper.selection.replay import Evaluation, Question, replay
from tests.fakes.selection_policies import (
    ARMS,
    AskFirstPolicy,
    FixedPolicy,
    GreedyPolicy,
    MajorityPolicy,
    all_at_once,
    one_at_a_time,
    record_of,
)

ERRORS = (0.7, 0.5, 0.9)
LOGGING = (0.6, 0.3, 0.1)
TARGET = (0.1, 0.2, 0.7)
TRUTH = sum(error * share for error, share in zip(ERRORS, TARGET, strict=True))
SEEDS = range(60)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "RESAMPLES", 50)


@functools.cache
def evaluations(claimed: tuple[float, ...] | None = None) -> list[Evaluation]:
    return [
        replay(one_at_a_time(ERRORS, LOGGING, 300, seed, claimed), FixedPolicy(TARGET), Question())
        for seed in SEEDS
    ]


def distance(values: list[float], truth: float) -> float:
    """Return how many standard errors the mean of the values is from the truth."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return abs(statistics.mean(values) - truth) / error


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.value


def test_propensities_make_up_for_what_the_log_did() -> None:
    found = evaluations()
    assert distance([value(one.ips) for one in found], TRUTH) < 3
    assert distance([value(one.doubly_robust) for one in found], TRUTH) < 3
    assert distance([value(one.snips) for one in found], TRUTH) < 3
    # The log's own mean is no estimate of the target's: the above can fail.
    assert distance([value(one.logged) for one in found], TRUTH) > 10


def test_wrong_propensities_deceive() -> None:
    """Then ips is biased, and dr leans on its model of the losses, which is right."""
    found = evaluations(claimed=(1 / 3, 1 / 3, 1 / 3))
    assert distance([value(one.ips) for one in found], TRUTH) > 10
    assert distance([value(one.doubly_robust) for one in found], TRUTH) < 4


def test_the_doubly_robust_estimate_varies_least() -> None:
    found = evaluations()
    by_ips = statistics.variance(value(one.ips) for one in found)
    by_dr = statistics.variance(value(one.doubly_robust) for one in found)
    assert by_dr < 0.5 * by_ips


def test_the_interval_is_as_wide_as_the_estimates_vary() -> None:
    found = evaluations()
    for pick in ("ips", "snips", "doubly_robust"):
        estimates: list[Estimate] = [getattr(one, pick) for one in found]
        spread = statistics.stdev(one.value for one in estimates)
        claimed = statistics.mean(one.standard_error for one in estimates)
        assert claimed == pytest.approx(spread, rel=0.35)
        covered = sum(one.low <= TRUTH <= one.high for one in estimates)
        assert covered >= 0.8 * len(estimates)


def test_the_same_seed_finds_the_same() -> None:
    log = one_at_a_time(ERRORS, LOGGING, 300, 1)
    first, second = (replay(log, GreedyPolicy(), Question(seed=4)) for _ in range(2))
    assert first == second


def test_a_log_of_all_models_needs_no_weights() -> None:
    log = all_at_once(ERRORS, 2000, 1)
    found = replay(log, FixedPolicy(TARGET), Question())
    assert found.ips is found.snips is found.doubly_robust is None
    assert value(found.direct) == pytest.approx(TRUTH, abs=0.03)
    assert found.effective_sample_size == pytest.approx(2000)
    assert found.best is found.direct


def test_an_ensemble_is_evaluated_by_what_it_would_have_answered() -> None:
    log = all_at_once((0.3, 0.3, 0.3), 4000, 2)
    found = replay(log, MajorityPolicy(), Question(costs={"a": 2.0}))
    assert found.direct == found.logged
    assert value(found.direct) == pytest.approx(0.3**3 + 3 * 0.3**2 * 0.7, abs=0.02)
    assert found.cost_per_query == 4.0


def test_a_cascade_asks_the_dear_model_when_the_cheap_one_is_unsure() -> None:
    sure, unsure = '{"label": 1, "confidence": 0.9}', '{"label": 0, "confidence": 0.6}'
    choice = Choice(ARMS, arms=ARMS, propensities=(1.0,) * 3)
    log = [
        record_of(at, choice, dict(zip(ARMS, (sure if at % 4 else unsure, "1", "0"), strict=True)),
                  "1", "1")
        for at in range(40)
    ]  # fmt: skip
    found = replay(log, AskFirstPolicy(), Question(costs={"b": 8.0}))
    assert value(found.direct) == 0.0
    assert found.asked_share == {"a:1": 1.0, "b:1": 0.25}
    assert found.cost_per_query == 3.0


def test_a_learner_is_evaluated_as_if_it_had_served() -> None:
    """From a log of all models: the same as living through the queries."""
    log = all_at_once((0.8, 0.2, 0.6), 3000, 3)
    found = replay(log, GreedyPolicy(), Question())
    assert value(found.direct) == pytest.approx(2 / 3 * 0.2 + 1 / 3 * (1.6 / 3), abs=0.03)
    assert found.asked_share["b:1"] > 0.75


def test_a_learner_learns_from_a_log_of_one_model_at_a_time() -> None:
    log = one_at_a_time((0.8, 0.2, 0.6), (1 / 3, 1 / 3, 1 / 3), 6000, 3)
    policy = GreedyPolicy()
    found = replay(log, policy, Question())
    truth = 2 / 3 * 0.2 + 1 / 3 * (1.6 / 3)
    assert value(found.doubly_robust) == pytest.approx(truth, abs=0.05)
    assert found.asked_share["b:1"] > 0.75
    # What it learns is what was observed, with the propensity with which it was.
    choice, losses = policy.learned[0]
    logged = log[0].choice
    assert (choice.ask, choice.propensities) == (logged.asked, logged.propensities)
    assert losses == {logged.asked[0]: log[0].losses[logged.asked[0].key]}


def test_on_a_log_of_all_models_it_learns_from_its_own_choices() -> None:
    policy = GreedyPolicy()
    replay(all_at_once(ERRORS, 200, 1), policy, Question())
    for choice, losses in policy.learned:
        assert tuple(losses) == choice.ask


def test_losses_known_by_chance_make_no_log_of_all_models() -> None:
    """The cache knew a second model's output on every query that it got right."""
    log = one_at_a_time((0.5, 0.5), (0.5, 0.5), 4000, 5)
    a, b = ARMS[:2]
    for record in log:
        asked = record.choice.asked[0]
        if asked == a and record.losses[a.key] == 1.0:
            record.choice.outputs[b.key] = b"1"
            record.losses[b.key] = 0.0
    found = replay(log, FixedPolicy((0.0, 1.0)), Question())
    assert value(found.doubly_robust) == pytest.approx(0.5, abs=0.05)


def test_a_shadow_is_evaluated_as_if_it_had_answered() -> None:
    """Although some of its outputs are missing."""
    a, b = ARMS[:2]
    choice = Choice((a,), (b,), (a, b), (1.0, 0.0))
    log = [
        record_of(at, choice, {a: "0"} | ({b: "1" if at % 4 else "0"} if at % 10 else {}), "1", "0")
        for at in range(400)
    ]
    found = replay(log, FixedPolicy((0.0, 1.0)), Question())
    assert value(found.direct) == pytest.approx(80 / 360)
    assert (found.queries, found.skipped) == (360, 40)
    assert value(found.logged) == 1.0


def test_graded_losses() -> None:
    choice = Choice(ARMS[:1], arms=ARMS[:1], propensities=(1.0,))
    log = [record_of(at, choice, {ARMS[0]: "7"}, "5", "7") for at in range(10)]
    question = Question(loss=LossKind.ABSOLUTE, loss_scale=4.0)
    assert value(replay(log, MajorityPolicy(), question).direct) == 0.5


def test_the_effective_sample_size_falls_as_the_policies_differ() -> None:
    log = one_at_a_time(ERRORS, LOGGING, 1000, 1)
    same = replay(log, FixedPolicy(LOGGING), Question())
    other = replay(log, FixedPolicy(TARGET), Question())
    assert same.effective_sample_size == pytest.approx(1000)
    assert other.effective_sample_size < 400


def refused(run: Callable[[], object]) -> str:
    with pytest.raises(InvalidRequest) as caught:
        run()
    return str(caught.value)


def test_no_support_is_refused_and_says_what_to_do() -> None:
    log = one_at_a_time(ERRORS, (0.5, 0.5, 0.0), 100, 1)
    text = refused(lambda: replay(log, FixedPolicy(TARGET), Question()))
    assert "100 of 100" in text
    assert "c:1" in text
    assert "epsilon-greedy" in text
    # What the policy would do with the others is supported.
    assert replay(log, FixedPolicy((0.5, 0.5, 0.0)), Question()).queries == 100


def test_a_policy_that_asks_several_cannot_be_told_from_one_at_a_time() -> None:
    log = one_at_a_time(ERRORS, LOGGING, 100, 1)
    text = refused(lambda: replay(log, MajorityPolicy(), Question()))
    assert "several models" in text
    assert "ensemble" in text


@pytest.mark.parametrize("empty", [True, False])
def test_nothing_to_evaluate_on(empty: bool) -> None:
    choice = Choice(ARMS[:1], arms=ARMS[:1], propensities=(1.0,))
    log = [] if empty else [record_of(0, choice, {}, "1", None)]
    text = refused(lambda: replay(log, FixedPolicy((1.0,)), Question()))
    assert "feedback" in text


def test_queries_without_an_output_are_skipped() -> None:
    log = one_at_a_time(ERRORS, LOGGING, 100, 1)
    choice = Choice(ARMS[:1], arms=ARMS, propensities=LOGGING)
    log += [record_of(100 + at, choice, {}, "1", None) for at in range(7)]
    found = replay(log, FixedPolicy(TARGET), Question())
    assert (found.queries, found.skipped) == (100, 7)


def test_estimators_by_hand() -> None:
    terms = [Term(2.0, 1.0, 0.5, 0.4), Term(0.0, 0.0, 0.5), Term(1.0, 0.0, 0.5, 0.4)]
    assert estimators.inverse_propensity(terms, 0).value == pytest.approx(2 / 3)
    assert estimators.self_normalised(terms, 0).value == pytest.approx(2 / 3)
    assert estimators.doubly_robust(terms, 0).value == pytest.approx(
        (0.5 + 2 * 0.6 + 0.5 + 0.5 - 0.4) / 3
    )
    assert estimators.effective_sample_size(terms) == pytest.approx(9 / 5)


def test_the_bootstrap_of_a_mean_is_its_standard_error() -> None:
    rng = random.Random(1)
    terms = [Term(1.0, rng.random()) for _ in range(2000)]
    found = estimators.mean(terms, 0)
    expected = np.std([term.loss for term in terms]) / math.sqrt(2000)
    assert found.standard_error == pytest.approx(expected, rel=0.3)
    assert found.low < found.value < found.high
