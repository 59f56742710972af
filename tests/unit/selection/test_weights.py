"""Log-weights, and what additions do to a state."""

from __future__ import annotations

import collections
import math
import random

import pytest

from clipper.selection.policy import Addition, Floor
from clipper.selection.state import apply
from clipper.selection.weights import change, draw, log_mean, seed_log_weights, shares
from tests.unit.selection.simulation import make_arms

ARMS = make_arms(2)


def test_a_number_that_is_absent_starts_where_the_addition_says() -> None:
    state = {"w/a": 1.0}

    after = apply(state, [Addition("w/a", 2.0, 9.0), Addition("w/b", 2.0, 9.0)], None)

    assert after == {"w/a": 3.0, "w/b": 11.0}
    assert state == {"w/a": 1.0}


def test_the_floor_holds_after_all_additions_and_for_its_kind_alone() -> None:
    state = {"w/a": 0.0, "w/b": 0.0, "n/a": -100.0}

    after = apply(state, [Addition("w/a", -50.0), Addition("w/b", -20.0)], Floor("w", 5.0))

    # Not after each one: a would have been raised to -5 before b fell.
    assert after == {"w/a": -25.0, "w/b": -20.0, "n/a": -100.0}


def test_means_and_shares_of_weights_that_no_float_can_hold() -> None:
    assert log_mean([-1e6, -1e6 + math.log(3.0)]) == pytest.approx(-1e6 + math.log(2.0))
    assert log_mean([]) == 0.0
    assert shares([-1e6, -1e6 + math.log(3.0)], 0.0) == pytest.approx([0.25, 0.75])
    assert shares([-1e308, 1e308], 0.5) == pytest.approx([0.25, 0.75])
    assert min(shares([-1e308, 1e308], 0.0)) > 0.0


def test_draws_are_as_frequent_as_they_are_probable() -> None:
    rng = random.Random(0)
    drawn = collections.Counter(draw([0.5, 0.0, 0.2, 0.3], rng) for _ in range(10_000))

    assert drawn[1] == 0
    assert [drawn[i] / 10_000 for i in (0, 2, 3)] == pytest.approx([0.5, 0.2, 0.3], abs=0.02)


def test_a_draw_beyond_a_rounded_sum_takes_the_most_probable() -> None:
    class Last(random.Random):
        def random(self) -> float:
            return 1.0 - 2.0**-53

    assert draw([0.1, 0.6, 0.2, 0.0], Last()) == 1


def test_weights_of_arms_that_are_gone_come_down_to_the_best_that_is_left() -> None:
    state = {"w/gone": 4.0, "w/worse": -9.0, "w/key0": -2.0, "w/key1": -3.0, "n/gone": 100.0}

    after = apply(state, change(state, ARMS, [-2.0, -3.0], [0.0, -1.0]), None)

    assert after == {**state, "w/gone": -2.0, "w/key1": -4.0}


def test_seeds_keep_the_order_and_not_the_distance() -> None:
    assert seed_log_weights({"w/a": -90.0, "w/b": -100.0, "w/c": -90.5, "n/a": 3.0}, 2.0) == {
        "w/a": 0.0,
        "w/b": -2.0,
        "w/c": -0.5,
    }
