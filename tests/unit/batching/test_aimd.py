from __future__ import annotations

import pytest

from clipper.batching.aimd import AimdPolicy
from clipper.batching.policy import BatchObservation


def batch(size: int, latency_s: float, full: bool = True) -> BatchObservation:
    return BatchObservation(size, full, latency_s, objective_s=0.020)


def test_near_the_objective_it_grows_by_two() -> None:
    policy = AimdPolicy(start=40)

    policy.observe(batch(40, 0.0185))

    assert policy.cap == 42


def test_a_small_cap_grows_by_one_as_a_cut_would_take_one() -> None:
    policy = AimdPolicy(start=5)

    policy.observe(batch(5, 0.0185))

    assert policy.cap == 6


def test_far_below_the_objective_it_grows_in_proportion_at_most_twofold() -> None:
    policy = AimdPolicy(start=10)

    policy.observe(batch(10, 0.0001))
    assert policy.cap == 20

    policy.observe(batch(20, 0.0100))
    assert policy.cap == 38  # the dead band begins at 19 ms


def test_two_batches_in_the_pipe_count_for_one_step() -> None:
    policy = AimdPolicy(start=10)

    policy.observe(batch(10, 0.0001))
    policy.observe(batch(10, 0.0001))

    assert policy.cap == 20


@pytest.mark.parametrize("offset_s", [0.0, 0.0005, 0.008, 0.012])
@pytest.mark.parametrize("slope_s", [0.00001, 0.0002, 0.001])
def test_the_ramp_is_short_and_never_passes_the_objective_by_more_than_a_step(
    offset_s: float, slope_s: float
) -> None:
    policy = AimdPolicy()
    latencies_s = []
    for _ in range(60):
        latencies_s.append(offset_s + slope_s * policy.cap)
        policy.observe(batch(policy.cap, latencies_s[-1]))

    assert max(latencies_s) <= 0.020 + 2 * slope_s
    assert latencies_s[20] >= 0.020 * 0.85


def test_holds_in_the_dead_band() -> None:
    policy = AimdPolicy(start=10)

    policy.observe(batch(10, 0.0191))
    policy.observe(batch(10, 0.0200))

    assert policy.cap == 10


def test_backs_off_by_ten_percent_above_the_objective() -> None:
    policy = AimdPolicy(start=100)

    policy.observe(batch(100, 0.0201))

    assert policy.cap == 90


def test_light_load_neither_grows_nor_collapses_the_cap() -> None:
    policy = AimdPolicy(start=50)

    for _ in range(100):
        policy.observe(batch(1, 0.001, full=False))

    assert policy.cap == 50


def test_slow_lone_queries_say_nothing_about_a_large_cap() -> None:
    policy = AimdPolicy(start=100)

    for _ in range(50):
        policy.observe(batch(1, 1.0, full=False))

    assert policy.cap == 100


def test_a_late_batch_of_half_the_cap_costs_ten_percent_of_the_cap_not_of_the_batch() -> None:
    policy = AimdPolicy(start=100)

    policy.observe(batch(50, 0.030, full=False))

    assert policy.cap == 90


def test_a_model_that_is_late_whatever_the_size_is_not_starved_with_batches_of_one() -> None:
    """A forest: 30 ms for one query, 30.02 ms for two. Small batches would only lose throughput."""
    policy = AimdPolicy()
    for _ in range(200):
        policy.observe(batch(policy.cap, 0.030 + 0.00002 * policy.cap))

    size_share = 0.00002 * policy.cap / (0.030 + 0.00002 * policy.cap)
    assert 0.15 <= size_share <= 0.25


def test_a_model_that_needs_the_objective_for_each_query_gets_them_singly() -> None:
    policy = AimdPolicy(start=8)
    sizes = []
    for _ in range(100):
        sizes.append(policy.cap)
        policy.observe(batch(policy.cap, 0.018 * policy.cap))

    assert max(sizes[20:]) <= 3
    assert sum(sizes[20:]) / 80 < 2


def test_never_below_one_and_recovers_from_one() -> None:
    policy = AimdPolicy()
    for _ in range(10):
        policy.observe(batch(1, 1.0))
    assert policy.cap == 1

    policy.observe(batch(1, 0.001))

    assert policy.cap == 2


def test_recovery_from_a_threefold_slowdown_takes_about_eleven_batches() -> None:
    """ln 3 / -ln 0.9 ≈ 10.4 batches (algorithms §1.12)."""
    policy = AimdPolicy(start=300)
    batches = 0
    while policy.cap * 0.0002 >= 0.020:  # a model of 0.2 ms a query, objective 20 ms
        policy.observe(batch(policy.cap, policy.cap * 0.0002))
        batches += 1

    assert batches == 11


def test_converges_to_the_dead_band_of_a_linear_model() -> None:
    policy = AimdPolicy()
    caps = []
    for _ in range(2000):
        policy.observe(batch(policy.cap, 0.001 + policy.cap * 0.00005))
        caps.append(policy.cap)

    largest_that_fits = int((0.020 - 0.001) / 0.00005)
    assert 0.9 * largest_that_fits * 0.9 <= min(caps[1000:]) <= max(caps) <= largest_that_fits + 2
