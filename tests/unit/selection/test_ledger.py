"""Tests of the bookkeeping: what is known for certain, and estimates against the truth."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from clipper.selection.calibration import Calibration
from clipper.selection.ledger import ENOUGH_LOSSES, PolicySummary, ledger, summarise
from clipper.selection.policy import Addition, Arm, Choice

A, B, C = Arm("1", "a"), Arm("2", "b"), Arm("3", "c", "7")
ALL = Choice(ask=(A, B, C), arms=(A, B, C), propensities=(1.0, 1.0, 1.0))


def sum_up(queries: Iterable[Iterable[Addition]]) -> dict[str, float]:
    state: dict[str, float] = {}
    for additions in queries:
        for addition in additions:
            state[addition.field] = state.get(addition.field, 0.0) + addition.amount
    return state


def summary_of(queries: Iterable[Iterable[Addition]], **costs: float) -> PolicySummary:
    return summarise(sum_up(queries), (A, B, C), costs)


def test_nothing_known_is_none_and_not_nought() -> None:
    found = summary_of([])
    assert (found.labelled, found.answered) == (0, 0)
    assert found.mean_loss is found.regret is found.best_arm is found.agreement is None
    assert found.late_share is found.calibration_error is found.cost_per_query is None
    assert [row.mean_loss for row in found.arms] == [None, None, None]


def test_an_ensemble_is_told_exactly() -> None:
    """40 queries: a is wrong on each, b on every fourth, c on every second; the answer is b's."""
    queries = [
        ledger(
            ALL, {A: 1.0, B: float(at % 4 == 0), C: float(at % 2 == 0)}, float(at % 4 == 0),
            None, (A, B), (C,), {"c": 5.0}, supporters=(B,),
        )
        for at in range(40)
    ]  # fmt: skip
    found = summary_of(queries, c=5.0)
    assert (found.labelled, found.answered, found.mean_loss) == (40, 40, 0.25)
    assert [row.mean_loss for row in found.arms] == [1.0, 0.25, 0.5]
    assert (found.best_arm, found.regret) == ("b:1", 0.0)
    assert found.agreement == 0.5
    assert found.late_share == pytest.approx(1 / 3)
    assert found.cost_per_query == 7.0
    assert [(row.asked, row.late, row.cost) for row in found.arms] == [
        (40, 0, 1.0),
        (40, 0, 1.0),
        (40, 40, 5.0),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_regret_and_losses_of_a_bandit_are_estimated_without_bias(seed: int) -> None:
    """Each arm's loss on the queries that went elsewhere is estimated, too: hard inputs go to a."""
    rng = random.Random(seed)
    queries = []
    truth = {A: 0.0, B: 0.0, C: 0.0}
    for _ in range(20_000):
        hard = rng.random() < 0.5
        propensities = (0.8, 0.1, 0.1) if hard else (0.1, 0.45, 0.45)
        errors = {A: 0.6, B: 0.5, C: 0.9} if hard else {A: 0.3, B: 0.1, C: 0.0}
        losses = {arm: float(rng.random() < error) for arm, error in errors.items()}
        for arm, lost in losses.items():
            truth[arm] += lost
        (chosen,) = rng.choices((A, B, C), propensities)
        choice = Choice(ask=(chosen,), arms=(A, B, C), propensities=propensities)
        queries.append(
            ledger(choice, {chosen: losses[chosen]}, losses[chosen], None, (chosen,), (), {})
        )
    found = summary_of(queries)
    for row, arm in zip(found.arms, (A, B, C), strict=True):
        assert row.mean_loss == pytest.approx(truth[arm] / 20_000, abs=0.025)
    assert found.best_arm == "b:1"
    assert found.mean_loss is not None
    assert found.regret == pytest.approx(20_000 * found.mean_loss - truth[B], abs=500)


def test_a_loss_known_by_chance_does_not_count() -> None:
    """What the cache knows of an arm that was not asked may be the easy inputs alone."""
    choice = Choice(ask=(A,), arms=(A, B, C), propensities=(0.5, 0.25, 0.25))
    found = summary_of([ledger(choice, {A: 1.0, B: 0.0}, 1.0, None, (A,), (), {})])
    assert [row.known_losses for row in found.arms] == [1, 0, 0]


def test_all_losses_known_need_no_weights() -> None:
    choice = Choice(ask=(A,), arms=(A, B), propensities=(0.1, 0.9))
    state = sum_up([ledger(choice, {A: 1.0, B: 0.5}, 1.0, None, (A,), (), {})])
    assert (state["led_weight/1"], state["led_weight/2"]) == (1.0, 1.0)


def test_an_arm_that_was_asked_later_is_counted_but_not_estimated() -> None:
    """The dear model of a cascade sees hard inputs only: its loss there says nothing of others."""
    choice = Choice(ask=(A,), arms=(A, B), propensities=(1.0, 0.0))
    found = summary_of([ledger(choice, {B: 1.0}, 1.0, None, (A, B), (), {})])
    assert (found.arms[1].asked, found.arms[1].known_losses) == (1, 0)
    assert found.cost_per_query == 2.0


def test_a_default_is_no_answer_and_an_early_winner_no_best_arm() -> None:
    choice = Choice(ask=(A,), arms=(A,), propensities=(1.0,))
    queries = [ledger(choice, {A: 0.0}, None, 0.2, (), (A,), {})] * (ENOUGH_LOSSES - 1)
    found = summary_of(queries)
    assert (found.labelled, found.answered, found.mean_loss) == (ENOUGH_LOSSES - 1, 0, None)
    assert found.best_arm is None
    assert found.raw_calibration_error is None


def test_shadows_cost_but_do_not_agree() -> None:
    choice = Choice(ask=(A, B), silent=(C,), arms=(A, B, C), propensities=(1.0, 1.0, 1.0))
    found = summary_of([ledger(choice, {}, 0.0, None, (A, B, C), (), {}, supporters=(A, B))])
    assert (found.agreement, found.cost_per_query) == (1.0, 3.0)


def test_a_shadow_is_estimated_from_every_query_on_which_it_was_heard() -> None:
    choice = Choice(ask=(A,), silent=(B,), arms=(A, B, C), propensities=(1.0, 0.0, 0.0))
    found = summary_of([ledger(choice, {A: 1.0, B: 0.0}, 1.0, None, (A,), (), {})] * 40)
    assert [row.mean_loss for row in found.arms] == [1.0, 0.0, None]
    assert (found.best_arm, found.regret) == ("b:1", 40.0)


def test_confidence_is_learned_for_calibration() -> None:
    queries = [
        ledger(ALL, {}, float(at % 2), 0.9, (A,), (), {}) for at in range(200)
    ]  # right half of the time, and 0.9 sure
    state = sum_up(queries)
    found = summarise(state, (A,), {}, Calibration.ISOTONIC)
    assert found.raw_calibration_error == pytest.approx(0.4)
    assert found.calibration_error == pytest.approx(0.0)
