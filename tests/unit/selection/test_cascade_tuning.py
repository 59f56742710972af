"""Tests of the tuner on models whose confidences are known to be right, or known to mislead."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable

import numpy as np
import pytest

from clipper.errors import InvalidRequest
from clipper.selection.cascade_tuning import (
    ENOUGH_QUERIES,
    SIGNALS,
    Example,
    Target,
    read_examples,
    tune,
)
from clipper.selection.catalog import make_policy
from clipper.selection.gate_fitting import fit_gate
from clipper.selection.policy import Choice
from clipper.selection.replay import Question, replay
from clipper.selection.trust import Features, Gate, Signal
from tests.fakes.selection_policies import ARMS, record_of

ORDER = ("cheap", "dear")
COSTS = {"cheap": 1.0, "dear": 8.0}


def sure(confidence: float) -> Features:
    return Features(confidence, 2.0 * (1.0 - confidence), 2.0 * confidence - 1.0)


def calibrated(queries: int, seed: int, dear_error: float = 0.02) -> list[Example]:
    """The cheap model is right as often as it says."""
    rng = random.Random(seed)
    found = []
    for _ in range(queries):
        confidence = 0.5 + 0.5 * rng.betavariate(5, 1)
        cheap = float(rng.random() >= confidence)
        found.append(
            Example((sure(confidence), sure(0.99)), (cheap, float(rng.random() < dear_error)))
        )
    return found


@pytest.mark.parametrize("signal", SIGNALS)
def test_it_saves_much_and_loses_little(signal: Signal) -> None:
    found = tune(calibrated(6000, 1), ORDER, COSTS, Target(0.98), [signal])
    assert found.options["order"] == ["cheap", "dear"]
    assert found.options["signal"] == signal
    assert found.judged_on.relative_accuracy > 0.97
    assert found.judged_on.relative_cost < 0.7
    assert found.judged_on.asked_share[0] == 1.0
    cheap, dear = found.judged_on.asked_share[0] * 1.0, found.judged_on.asked_share[1] * 8.0
    assert found.judged_on.cost == pytest.approx(cheap + dear)
    assert found.models["cheap"] < found.judged_on.accuracy < found.models["dear"] + 0.01


def test_the_threshold_is_lowered_until_the_target_is_missed() -> None:
    examples = calibrated(400, 2)
    found = tune(examples, ORDER, COSTS, Target(0.97, caution=0.0), ["max-probability"])
    half = list(examples)
    random.Random(0).shuffle(half)
    half = half[:200]
    dear = 1 - sum(one.losses[1] for one in half) / 200

    def outcome(threshold: float) -> tuple[float, float]:
        ends = [0 if one.features[0].max_probability >= threshold else 1 for one in half]
        lost = sum(one.losses[end] for one, end in zip(half, ends, strict=True))
        return 1 - lost / 200, 1 + 8 * sum(ends) / 200

    (threshold,) = found.options["thresholds"]
    assert (found.sought_on.accuracy, found.sought_on.cost) == pytest.approx(outcome(threshold))
    values = sorted(one.features[0].max_probability for one in half)
    above = [value for value in values if value >= threshold]
    assert all(outcome(value)[0] >= 0.97 * dear for value in above)
    assert outcome(max(set(values) - set(above)))[0] < 0.97 * dear


def test_a_stricter_target_costs_more() -> None:
    costs = [
        tune(calibrated(2000, 3), ORDER, COSTS, Target(target)).sought_on.cost
        for target in (0.9, 0.95, 0.99)
    ]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


def test_caution_holds_the_target_on_queries_that_were_not_seen() -> None:
    def misses(caution: float) -> int:
        return sum(
            tune(
                calibrated(400, seed), ORDER, COSTS, Target(0.98, caution=caution),
                ["max-probability"],
            ).judged_on.relative_accuracy < 0.98
            for seed in range(24)
        )  # fmt: skip

    assert misses(0.0) > 6
    assert misses(2.0) < 0.6 * misses(0.0)


def test_an_absolute_target() -> None:
    found = tune(calibrated(4000, 4), ORDER, COSTS, Target(0.95, relative=False))
    assert 0.95 <= found.sought_on.accuracy < 0.965


def test_a_target_beyond_all_models_is_refused_with_what_can_be_had() -> None:
    with pytest.raises(InvalidRequest) as caught:
        tune(calibrated(2000, 5), ORDER, COSTS, Target(0.999, relative=False))
    text = str(caught.value)
    assert "0.9990" in text
    assert "dear alone has 0.9" in text
    assert "Lower the target" in text


def test_of_several_signals_the_one_that_costs_least_is_taken() -> None:
    """The probability says nothing here, the margin tells right from wrong."""
    rng = random.Random(6)
    examples = []
    for _ in range(3000):
        right = rng.random() < 0.8
        margin = rng.betavariate(6, 2) if right else rng.betavariate(2, 6)
        signals = Features(rng.random(), rng.random(), margin)
        examples.append(Example((signals, sure(0.9)), (float(not right), 0.0)))
    found = tune(examples, ORDER, COSTS, Target(0.98))
    assert found.signal == "gate"
    blind = tune(examples, ORDER, COSTS, Target(0.98), ["max-probability"])
    assert found.judged_on.cost < 0.8 * blind.judged_on.cost
    assert set(found.options["gates"]) == {"cheap"}


def test_three_models() -> None:
    rng = random.Random(7)
    examples = []
    for _ in range(3000):
        first = 0.5 + 0.5 * rng.random() ** 0.3
        second = 1.0 - (1.0 - first) * rng.random()
        hard = rng.random()
        examples.append(
            Example(
                (sure(first), sure(second), sure(0.99)),
                (float(hard > first), float(hard > second), float(hard > 0.995)),
            )
        )
    order, costs = ("s", "m", "l"), {"s": 1.0, "m": 4.0, "l": 20.0}
    found = tune(examples, order, costs, Target(0.95), ["max-probability"])
    assert len(found.options["thresholds"]) == 2
    assert found.judged_on.relative_accuracy > 0.94
    half = list(examples)
    random.Random(0).shuffle(half)
    wanted = 0.95 * (1 - sum(one.losses[2] for one in half[:1500]) / 1500)
    costs_met = []
    for levels in itertools.product([0.5 + at / 50 for at in range(26)], repeat=2):
        ends = [
            next((at for at, level in enumerate(levels) if one.features[at][0] >= level), 2)
            for one in half[:1500]
        ]
        lost = sum(one.losses[end] for one, end in zip(half, ends, strict=False))
        if 1 - lost / 1500 >= wanted:
            costs_met.append(sum((1.0, 5.0, 25.0)[end] for end in ends) / 1500)
    assert found.sought_on.cost <= 1.15 * min(costs_met)


def test_the_curve_runs_from_the_cheap_model_to_the_dear_one() -> None:
    found = tune(calibrated(3000, 8), ORDER, COSTS, Target(0.98), ["max-probability"])
    costs = [point.cost for point in found.curve]
    assert costs == sorted(costs)
    assert (costs[0], costs[-1]) == (1.0, 9.0)
    assert found.curve[0].accuracy == pytest.approx(found.models["cheap"])
    assert found.curve[-1].accuracy == pytest.approx(found.models["dear"])


def test_the_gate_is_a_logistic_regression() -> None:
    """Coefficients that made the data are found again; who says nothing is left aside."""
    rng = np.random.default_rng(9)
    truth = Gate(-1.0, 3.0, -2.0, 1.0)
    features: list[Features | None] = []
    losses = []
    for at in range(20_000):
        one = Features(*(float(value) for value in rng.random(3)))
        features.append(one if at % 10 else None)
        losses.append(float(rng.random() >= truth.probability(one)) if at % 10 else 1.0)
    found = fit_gate(features, losses)
    for name in Gate.__struct_fields__:
        assert getattr(found, name) == pytest.approx(getattr(truth, name), abs=0.2)


@pytest.mark.parametrize("lost", [0.0, 1.0])
def test_a_gate_of_a_model_that_never_or_always_errs_stays_finite(lost: float) -> None:
    found = fit_gate([sure(0.9)] * 200, [lost] * 200)
    assert all(abs(getattr(found, name)) < 1e3 for name in Gate.__struct_fields__)
    assert (found.probability(sure(0.9)) > 0.9) == (lost == 0.0)


def test_a_model_that_says_nothing_of_its_confidence_is_never_trusted() -> None:
    examples = [Example((None, None), (0.0, 0.0))] * 400
    found = tune(examples, ORDER, COSTS, Target(0.98))
    assert found.judged_on.cost == 9.0


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_policy_does_what_was_found(signal: Signal) -> None:
    """The options are its own, and mean there what they meant here."""
    rng = random.Random(10)
    choice = Choice(ARMS[:2], arms=ARMS[:2], propensities=(1.0, 1.0))
    records = []
    for at in range(1000):
        sureness = 0.5 + 0.5 * rng.random()
        label = int(rng.random() < sureness)
        said = json.dumps({"probabilities": {label: sureness, 1 - label: 1 - sureness}})
        dear = "1" if rng.random() < 0.97 else "0"
        records.append(record_of(at, choice, {ARMS[0]: said, ARMS[1]: dear}, "1", dear))
    found = tune(read_examples(records, ("a", "b")), ("a", "b"), {"b": 8.0}, Target(0.9), [signal])
    played = replay(records, make_policy("cascade", found.options), Question(costs={"b": 8.0}))
    assert played.direct is not None
    both = (found.sought_on, found.judged_on)
    assert played.cost_per_query == pytest.approx(sum(one.cost for one in both) / 2)
    assert 1 - played.direct.value == pytest.approx(sum(one.accuracy for one in both) / 2)


def log(
    queries: int, asked: Callable[[int], int], propensities: tuple[float, ...] = (1.0, 1.0, 1.0)
) -> list[object]:
    said = json.dumps({"label": 1, "confidence": 0.9})
    records: list[object] = []
    for at in range(queries):
        arms = ARMS[: asked(at)]
        choice = Choice(arms, arms=ARMS, propensities=propensities)
        records.append(record_of(at, choice, dict.fromkeys(arms, said), "1", "1"))
    return records


def test_examples_are_read_in_the_order_of_the_cascade() -> None:
    a, b = '{"label": 1, "probabilities": [0.2, 0.8]}', '{"label": 0, "confidence": 0.6}'
    choice = Choice(ARMS[:2], arms=ARMS[:2], propensities=(1.0, 1.0))
    records = [record_of(at, choice, dict(zip(ARMS, (a, b), strict=False)), "1", "1")
               for at in range(ENOUGH_QUERIES)]  # fmt: skip
    (example, *_) = read_examples(records, ("b", "a"))
    assert example.losses == (1.0, 0.0)
    assert [one.max_probability for one in example.features] == [0.6, 0.8]


def test_some_that_lack_an_output_are_left_aside() -> None:
    records = log(1000, lambda at: 2 if at % 20 == 0 else 3)
    assert len(read_examples(records, ("a", "b", "c"))) == 950


def test_the_log_of_a_cascade_is_refused() -> None:
    """The dear model was heard on the hard queries alone."""
    records = log(1000, lambda at: 2 if at % 4 == 0 else 1, (1.0, 0.0, 0.0))
    with pytest.raises(InvalidRequest, match="shadow or an ensemble"):
        read_examples(records, ("a", "b"))


def test_what_was_logged_with_certainty_before_a_cascade_counts() -> None:
    records = log(1000, lambda at: 1, (1.0, 0.0, 0.0)) + log(300, lambda at: 2, (1.0, 1.0, 0.0))
    assert len(read_examples(records, ("a", "b"))) == 300


@pytest.mark.parametrize("order", [(), ("a",), ("a", "a")])
def test_a_cascade_has_two_models(order: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest, match="order: name two"):
        read_examples([], order)
