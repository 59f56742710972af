"""Tests of the threshold below which the default output is the better answer (E12)."""

from __future__ import annotations

import random

import pytest

from clipper.errors import InvalidRequest
from clipper.selection.default_action import cheapest_min_confidence


def answers(size: int, seed: int) -> tuple[list[float], list[float]]:
    """Calibrated: right as often as it says."""
    rng = random.Random(seed)
    confidences = [rng.random() for _ in range(size)]
    return confidences, [float(rng.random() >= confidence) for confidence in confidences]


def test_with_calibrated_confidence_it_is_one_less_the_ratio_of_costs() -> None:
    found = cheapest_min_confidence(*answers(50_000, 1), cost_of_wrong=10.0, cost_of_default=1.0)
    assert found.best.threshold == pytest.approx(0.9, abs=0.04)


def test_it_is_cheaper_than_never_and_always_and_transfers() -> None:
    found = cheapest_min_confidence(*answers(2000, 2), cost_of_wrong=10.0, cost_of_default=2.0)
    assert found.best.cost < 0.9 * min(found.never.cost, found.always.cost)
    confidences, losses = answers(2000, 3)
    there = [
        2.0 if confidence < found.best.threshold else 10.0 * lost
        for confidence, lost in zip(confidences, losses, strict=True)
    ]
    optimum = cheapest_min_confidence(confidences, losses, 10.0, 2.0).best.cost
    assert sum(there) / len(there) <= 1.05 * optimum


def test_costs_along_the_curve_are_those_of_its_thresholds() -> None:
    confidences, losses = [0.9, 0.2, 0.5, 0.5, 0.8], [0.0, 1.0, 1.0, 0.0, 0.0]
    found = cheapest_min_confidence(confidences, losses, 4.0, 1.0)
    for point in found.curve[:-1]:
        costs = [
            1.0 if confidence < point.threshold else 4.0 * lost
            for confidence, lost in zip(confidences, losses, strict=True)
        ]
        assert point.cost == pytest.approx(sum(costs) / 5)
    assert [point.threshold for point in found.curve] == pytest.approx([0.0, 0.35, 0.65, 0.85, 1.0])
    assert found.best.threshold == pytest.approx(0.65)
    assert (found.never.default_share, found.always.default_share) == (0.0, 1.0)


def test_free_defaults_and_free_errors() -> None:
    data = answers(200, 4)
    assert cheapest_min_confidence(*data, 1.0, 0.0).best.cost == 0.0
    assert cheapest_min_confidence(*data, 0.0, 1.0).best.threshold == 0.0


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="feedback"):
        cheapest_min_confidence([], [], 1.0, 1.0)
    with pytest.raises(InvalidRequest, match="negative"):
        cheapest_min_confidence([0.5], [0.0], -1.0, 1.0)
