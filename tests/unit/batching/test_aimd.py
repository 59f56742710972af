from __future__ import annotations

from clipper.batching.aimd import AimdPolicy
from clipper.batching.policy import BatchObservation


def batch(size: int, latency_s: float, full: bool = True) -> BatchObservation:
    return BatchObservation(size, full, latency_s, objective_s=0.020)


def test_grows_by_two_when_full_and_below_the_dead_band() -> None:
    policy = AimdPolicy()

    policy.observe(batch(1, 0.001))
    policy.observe(batch(3, 0.001))

    assert policy.cap == 5


def test_holds_in_the_dead_band() -> None:
    policy = AimdPolicy(start=10)

    policy.observe(batch(10, 0.0181))

    assert policy.cap == 10


def test_backs_off_by_ten_percent_above_the_objective() -> None:
    policy = AimdPolicy(start=100)

    policy.observe(batch(100, 0.020))

    assert policy.cap == 90


def test_light_load_neither_grows_nor_collapses_the_cap() -> None:
    policy = AimdPolicy(start=50)

    for _ in range(100):
        policy.observe(batch(1, 0.001, full=False))

    assert policy.cap == 50


def test_one_slow_lone_query_costs_ten_percent_not_everything() -> None:
    policy = AimdPolicy(start=100)

    policy.observe(batch(1, 1.0, full=False))

    assert policy.cap == 90


def test_never_below_one_and_recovers_from_one() -> None:
    policy = AimdPolicy()
    for _ in range(10):
        policy.observe(batch(1, 1.0))
    assert policy.cap == 1

    policy.observe(batch(1, 0.001))

    assert policy.cap == 3


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
