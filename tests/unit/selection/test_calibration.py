"""Tests of calibration: curves that are known, samples drawn from them with fixed seeds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from clipper.selection.calibration import (
    BINS,
    ENOUGH_LABELS,
    Calibration,
    expected_calibration_error,
    fit,
    is_right,
    observations,
    reliability,
)

KINDS = (Calibration.ISOTONIC, Calibration.PLATT, Calibration.TEMPERATURE)


def state_of(answers: Iterable[tuple[float, bool]]) -> dict[str, float]:
    state: dict[str, float] = {}
    for raw, correct in answers:
        for addition in observations(raw, correct):
            state[addition.field] = state.get(addition.field, 0.0) + addition.amount
    return state


def sample(truth: Callable[[float], float], size: int, seed: int) -> list[tuple[float, bool]]:
    rng = random.Random(seed)
    raws = [rng.betavariate(4, 1.2) for _ in range(size)]
    return [(raw, rng.random() < truth(raw)) for raw in raws]


def overconfident(raw: float) -> float:
    """A model whose log-odds are three times too large."""
    return 1 / (1 + ((1 - raw) / raw) ** (1 / 3)) if raw > 0 else raw


def held_out_error(kind: Calibration, truth: Callable[[float], float], seed: int) -> float:
    calibrator = fit(kind, state_of(sample(truth, 4000, seed)))
    found = expected_calibration_error(state_of(sample(truth, 20_000, seed + 1)), calibrator)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 11, 21])
def test_calibration_halves_the_error_on_answers_it_never_saw(kind: Calibration, seed: int) -> None:
    before = held_out_error(Calibration.NONE, overconfident, seed)
    assert before > 0.1
    assert held_out_error(kind, overconfident, seed) < 0.3 * before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_calibrated_stays_so(kind: Calibration) -> None:
    calibrator = fit(kind, state_of(sample(lambda raw: raw, 20_000, 5)))
    for raw in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        assert calibrator(raw) == pytest.approx(raw, abs=0.05)


def test_a_bias_is_beyond_temperature_but_not_beyond_the_others() -> None:
    def always_less(raw: float) -> float:
        return 0.5 * raw

    by_temperature = held_out_error(Calibration.TEMPERATURE, always_less, 3)
    assert held_out_error(Calibration.ISOTONIC, always_less, 3) < 0.03
    assert held_out_error(Calibration.PLATT, always_less, 3) < 0.03
    assert by_temperature > 0.06


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_labels_calibrate_nothing(kind: Calibration) -> None:
    few = [(0.9, False)] * (ENOUGH_LABELS - 1)
    assert fit(kind, state_of(few))(0.9) == 0.9
    assert fit(kind, {})(0.3) == 0.3
    assert fit(kind, state_of([*few, (0.9, False)]))(0.9) < 0.6


def test_without_calibration_it_is_the_identity() -> None:
    state = state_of(sample(overconfident, 1000, 1))
    assert fit(Calibration.NONE, state)(0.42) == 0.42


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_more_confidence_never_means_less(kind: Calibration, seed: int) -> None:
    """Where the truth rises; isotonic must hold it for noise, too."""
    calibrator = fit(kind, state_of(sample(overconfident, 200, seed)))
    values = [calibrator(step / 500) for step in range(501)]
    assert values == sorted(values)
    assert 0.0 <= values[0] <= values[-1] <= 1.0


def test_isotonic_is_the_least_squares_rising_curve() -> None:
    """Against the min-max formula of isotonic regression, computed by brute force."""
    rng = random.Random(7)
    answers = [(raw, rng.random() < 0.5) for raw in (rng.random() for _ in range(300))]
    state = state_of(answers)
    calibrator = fit(Calibration.ISOTONIC, state)
    bins = [at for at in range(BINS) if f"cal/n/{at}" in state]
    right = np.array([state.get(f"cal/ok/{at}", 0.0) for at in bins])
    count = np.array([state[f"cal/n/{at}"] for at in bins])
    for place, at in enumerate(bins):
        level = max(
            min(right[i : j + 1].sum() / count[i : j + 1].sum() for j in range(place, len(bins)))
            for i in range(place + 1)
        )
        assert calibrator(state[f"cal/sum/{at}"] / count[place]) == pytest.approx(level)


def test_platt_is_the_maximum_of_its_likelihood() -> None:
    """No neighbour of the fitted line is likelier, targets smoothed."""
    state = state_of(sample(overconfident, 500, 2))
    calibrator = fit(Calibration.PLATT, state)
    bins = [at for at in range(BINS) if f"cal/n/{at}" in state]
    count = np.array([state[f"cal/n/{at}"] for at in bins])
    right = np.array([state.get(f"cal/ok/{at}", 0.0) for at in bins])
    raw = np.array([state[f"cal/sum/{at}"] for at in bins]) / count
    good = (right.sum() + 1) / (right.sum() + 2)
    bad = 1 / ((count - right).sum() + 2)
    target = right * good + (count - right) * bad
    said = np.array([calibrator(one) for one in raw])
    residual = target - count * said
    odds = np.log(raw / (1 - raw))
    assert residual.sum() == pytest.approx(0.0, abs=1e-3)
    assert (residual * odds).sum() == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("correct", [True, False])
def test_labels_of_one_kind_and_confidences_of_one_value_are_no_trouble(
    kind: Calibration, correct: bool
) -> None:
    for raw in (0.0, 0.4, 1.0):
        calibrator = fit(kind, state_of([(raw, correct)] * 1000))
        for asked in (0.0, 0.4, 1.0):
            assert 0.0 <= calibrator(asked) <= 1.0


def test_reliability_tells_confidence_and_accuracy_of_each_bar() -> None:
    answers = [(0.95, True)] * 8 + [(0.95, False)] * 2 + [(0.31, False)] * 5
    table = reliability(state_of(answers), lambda raw: raw)
    assert [(bar.lower, bar.upper, bar.count) for bar in table] == [(0.3, 0.4, 5), (0.9, 1.0, 10)]
    assert [bar.accuracy for bar in table] == [0.0, 0.8]
    assert [bar.confidence for bar in table] == pytest.approx([0.31, 0.95])
    error = expected_calibration_error(state_of(answers), lambda raw: raw)
    assert error == pytest.approx((5 * 0.31 + 10 * 0.15) / 15)


def test_nothing_labelled_has_no_error() -> None:
    assert expected_calibration_error({}, lambda raw: raw) is None
    assert reliability({}, lambda raw: raw) == []


def test_the_better_half_of_losses_is_right() -> None:
    assert is_right(0.0)
    assert is_right(0.49)
    assert not is_right(0.5)
    assert not is_right(1.0)
