from __future__ import annotations

import random

import pytest

from clipper.batching.lag import LagEstimate, SendLead


def test_lag_follows_what_is_measured_and_one_pause_counts_little() -> None:
    lag = LagEstimate()
    for _ in range(60):
        lag.observe(0.002)
    assert lag.seconds == pytest.approx(0.002, rel=0.01)

    lag.observe(0.010)
    assert lag.seconds < 0.003

    for _ in range(60):
        lag.observe(0.0)
    assert lag.seconds < 0.00001


def test_no_more_than_a_tenth_of_the_objective_is_subtracted() -> None:
    lag = LagEstimate()
    for _ in range(100):
        lag.observe(0.050)

    assert lag.within(0.020) == pytest.approx(0.002)
    assert lag.within(10.0) == pytest.approx(0.050, rel=0.01)


def test_a_timer_that_fires_early_is_no_negative_lag() -> None:
    lag = LagEstimate()
    lag.observe(-0.001)

    assert lag.seconds == 0.0


def test_the_lead_settles_where_one_batch_in_five_comes_too_late() -> None:
    """The way to the container takes 1 to 3 ms, and the hand-over inside it 0.1 ms."""
    rng = random.Random(5)
    lead = SendLead()
    late = 0
    for number in range(4000):
        queue_s = 0.0001 + max(0.0, lead.seconds - rng.uniform(0.001, 0.003))
        late += number >= 1000 and queue_s < 0.00015
        lead.observe(queue_s)

    assert 0.13 <= late / 3000 <= 0.27
    assert 0.0015 <= lead.seconds <= 0.003
