"""Bandits and experts learn: regret against the best model, and recovery from its failure."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.selection.simulation import Run, draw_labels

LEARNERS: tuple[tuple[str, dict[str, object]], ...] = (
    ("epsilon-greedy", {}),
    ("ucb1", {}),
    ("thompson", {}),
    ("exp3", {}),
)
COMBINERS: tuple[tuple[str, dict[str, object]], ...] = (
    ("exp4", {}),
    ("exp4", {"variant": "b"}),
    ("exp4", {"variant": "c"}),
    ("ensemble", {"combine": "weighted"}),
)
ERROR_RATES = np.array([0.5, 0.4, 0.3, 0.45, 0.1])
QUERIES = 2000
BOUND = 0.45
"""Of the regret of asking anybody, which learns nothing."""
UNIFORM: tuple[str, dict[str, object]] = ("epsilon-greedy", {"epsilon": 1.0})


def _regret(policy: tuple[str, dict[str, object]], refresh_queries: int = 1) -> float:
    """Expected losses above those of the best model, as a share of what guessing has."""
    runs = []
    for seed in range(2):
        table = draw_labels(ERROR_RATES.tolist(), QUERIES, np.random.default_rng(seed))
        run = Run(*policy, table, seed, refresh_queries)
        runs.append((ERROR_RATES[run.asked] - ERROR_RATES.min()).sum())
    return float(np.mean(runs) / ((ERROR_RATES.mean() - ERROR_RATES.min()) * QUERIES))


@pytest.mark.parametrize("policy", LEARNERS, ids=str)
def test_a_bandit_soon_asks_the_best_model(policy: tuple[str, dict[str, object]]) -> None:
    assert _regret(policy) < BOUND


@pytest.mark.parametrize("policy", LEARNERS, ids=str)
def test_a_worker_that_hears_late_of_feedback_learns_too(
    policy: tuple[str, dict[str, object]],
) -> None:
    """Additions are made from an old state, by several frontends, and still add up."""
    assert _regret(policy, refresh_queries=25) < BOUND


def test_a_policy_that_learns_nothing_would_not_pass() -> None:
    assert _regret(UNIFORM) > 2 * BOUND
    assert _regret(("static", {})) > 2 * BOUND


@pytest.mark.parametrize("policy", COMBINERS, ids=str)
def test_experts_end_as_good_as_the_best_of_them(policy: tuple[str, dict[str, object]]) -> None:
    table = draw_labels(ERROR_RATES.tolist(), QUERIES, np.random.default_rng(7))

    assert Run(*policy, table, 7).wrong[QUERIES // 2 :].mean() < ERROR_RATES.min() + 0.03


# The failure protocol of the paper's figure 8, with the error rates of our five digit models: the
# best one answers at random from query 5,000 to 10,000.
PROTOCOL_RATES = [0.45, 0.14, 0.19, 0.13, 0.03]
T = 20_000
TRIALS = 4
SURVIVOR, BEST = 0.13, 0.03


def _protocol(trial: int) -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(trial)
    table = draw_labels(PROTOCOL_RATES, T, rng)
    table[T // 4 : T // 2, 4] = rng.integers(0, 10, T // 4)
    return table


@functools.cache
def _mean_errors(name: str, **options: float) -> npt.NDArray[np.float64]:
    runs = [Run(name, options, _protocol(trial), trial).wrong for trial in range(TRIALS)]
    return np.asarray(np.mean(runs, axis=0))


@pytest.fixture(scope="module")
def best_static() -> float:
    return float(np.mean([_protocol(t) != 0 for t in range(TRIALS)], axis=(0, 1)).min())


@pytest.mark.parametrize("name", ["exp3", "exp4"])
def test_the_failure_of_the_best_model_is_survived_and_its_repair_noticed(
    name: str, best_static: float
) -> None:
    wrong = _mean_errors(name)

    assert wrong.mean() < best_static - 0.03
    assert wrong[5_000:5_200].mean() > SURVIVOR + 0.1  # it does hurt
    assert wrong[8_000:10_000].mean() < SURVIVOR + 0.03
    assert wrong[18_000:].mean() < BEST + 0.04


def test_the_floor_makes_exp3_notice_failure_and_repair_sooner() -> None:
    with_floor = _mean_errors("exp3")
    without = _mean_errors("exp3", gamma=0.0, depth=700.0)

    assert with_floor[5_000:5_500].mean() < without[5_000:5_500].mean() - 0.04
    assert with_floor[10_000:12_000].mean() < without[10_000:12_000].mean() - 0.015
