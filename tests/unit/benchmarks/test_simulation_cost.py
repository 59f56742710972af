"""What a real model's batches cost, from what was measured."""

from __future__ import annotations

import pytest

from benchmarks.simulation.cost import CostModel, fitted, rescaled


def test_a_line_through_measured_batches_is_as_exact_for_small_ones_as_for_large_ones() -> None:
    sizes = (1, 2, 4, 8, 64, 512)
    seconds = [0.002 + 0.0001 * size for size in sizes]
    seconds[-1] *= 1.2

    cost = fitted(sizes, seconds)

    assert cost.seconds(1) == pytest.approx(seconds[0], rel=0.05)
    assert cost.seconds(64) == pytest.approx(seconds[4], rel=0.2)


def test_neither_cost_is_below_zero() -> None:
    falling = fitted((1, 2, 4), (0.003, 0.002, 0.001))
    through_zero = fitted((1, 2, 4), (0.0009, 0.002, 0.0041))

    assert falling.alpha_s > 0
    assert through_zero.beta_s >= 0


def test_costs_follow_what_batches_took_together() -> None:
    cost = CostModel(0.001, 0.002)
    took_s = 1.5 * (10 * 0.002 + 40 * 0.001)

    slower = rescaled(cost, batches=10, queries=40, computed_s=took_s)

    assert slower.alpha_s == pytest.approx(0.0015)
    assert slower.beta_s == pytest.approx(0.003)
    assert rescaled(cost, batches=0, queries=0, computed_s=0) == cost
