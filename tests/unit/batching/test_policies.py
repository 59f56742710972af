from __future__ import annotations

import random

import numpy as np
import pytest

from clipper.batching.aimd import AimdPolicy
from clipper.batching.catalog import batch_policy_names, make_batch_policy
from clipper.batching.fixed import FixedPolicy
from clipper.batching.latency import LatencyModel, TransferFloor
from clipper.batching.policy import BatchObservation
from clipper.batching.quantile import QuantilePolicy, fit_quantile_line


def test_fixed_never_changes() -> None:
    policy = FixedPolicy(9)

    policy.observe(BatchObservation(9, True, 100.0, 0.001))

    assert policy.cap == 9


def test_quantile_line_lies_above_99_percent_of_samples() -> None:
    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 500, 2000)
    latencies = 0.002 + 0.00003 * sizes + rng.exponential(0.001, 2000)

    offset_s, slope_s = fit_quantile_line(sizes, latencies, 0.99)

    below = np.mean(latencies <= offset_s + slope_s * sizes)
    assert 0.98 <= below <= 0.999
    assert abs(slope_s - 0.00003) < 0.000005


def test_quantile_policy_finds_the_size_that_meets_the_objective() -> None:
    source = random.Random(3)
    policy = QuantilePolicy()
    for _ in range(3000):
        size = policy.cap
        latency_s = 0.002 + 0.00005 * size + source.uniform(0, 0.0005)
        policy.observe(BatchObservation(size, True, latency_s, 0.020))

    p99_fits = (0.020 - 0.0025) / 0.00005
    assert 0.9 * p99_fits <= policy.cap <= 1.1 * p99_fits


def test_quantile_policy_follows_a_model_that_slows_down() -> None:
    policy = QuantilePolicy()
    for slope_s, rounds in ((0.00005, 2000), (0.0002, 3000)):
        for _ in range(rounds):
            size = policy.cap
            policy.observe(BatchObservation(size, True, 0.002 + slope_s * size, 0.020))

    assert 60 <= policy.cap <= 120  # (20 ms - 2 ms) / 0.2 ms = 90


def test_latency_model_rules_nothing_out_before_it_has_seen_enough() -> None:
    model = LatencyModel()
    model.observe(10, 5.0)

    assert model.predict_s(10) == 0.0
    assert not model.trained


def test_latency_model_learns_a_line() -> None:
    model = LatencyModel()
    for size in (1, 10, 40, 100, 20, 60):
        model.observe(size, 0.002 + 0.0001 * size)

    assert abs(model.predict_s(50) - 0.007) < 1e-6


def test_latency_model_follows_a_slowdown_and_a_recovery_within_three_batches() -> None:
    model = LatencyModel()
    for size in (4, 8, 12, 16) * 20:
        model.observe(size, 0.01 + 0.001 * size)
    for factor in (3.0, 1.0):
        for size in (8, 16, 12):
            model.observe(size, factor * (0.01 + 0.001 * size))
        assert model.predict_s(10) == pytest.approx(factor * 0.02, rel=0.1)


def test_one_pause_does_not_change_what_the_latency_model_predicts() -> None:
    model = LatencyModel()
    for size in (4, 8, 12, 16) * 20:
        model.observe(size, 0.01 + 0.001 * size)

    model.observe(10, 0.200)

    assert model.predict_s(10) == pytest.approx(0.02, rel=0.1)


def test_the_share_of_the_size_is_unknown_while_sizes_do_not_differ() -> None:
    model = LatencyModel()
    for _ in range(100):
        model.observe(50, 0.02)
    assert model.size_share(50) is None

    for size in (40, 30, 20):
        model.observe(size, 0.01 + 0.0002 * size)

    assert model.size_share(50) == pytest.approx(0.5, abs=0.05)


def test_transfer_floor_leaves_our_own_lag_out() -> None:
    floor = TransferFloor()
    seen = [floor.observe_s(8, lag_s + 0.0004) for lag_s in (0.012, 0.0, 0.009, 0.015)]

    assert seen == [0.0124, 0.0004, 0.0004, 0.0004]


def test_transfer_floor_knows_that_much_smaller_batches_say_nothing() -> None:
    floor = TransferFloor()
    floor.observe_s(1, 0.0001)

    assert floor.observe_s(1000, 0.02) == 0.02
    assert floor.observe_s(600, 0.05) == 0.02


@pytest.mark.parametrize(
    ("name", "batch_size", "kind", "cap"),
    [
        ("aimd", -1, AimdPolicy, 1),
        ("quantile", -1, QuantilePolicy, 1),
        ("quantile", 7, FixedPolicy, 7),
        ("fixed", 1, FixedPolicy, 1),
        ("from-the-future", -1, AimdPolicy, 1),
    ],
)
def test_the_policy_that_a_version_is_registered_with(
    name: str, batch_size: int, kind: type, cap: int
) -> None:
    policy = make_batch_policy(name, batch_size)

    assert type(policy) is kind
    assert policy.cap == cap


def test_every_name_that_can_be_registered_makes_a_policy() -> None:
    assert batch_policy_names() == ("aimd", "quantile", "fixed")
