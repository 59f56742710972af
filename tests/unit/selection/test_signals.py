"""Tests of the signals by which a cascade stops."""

from __future__ import annotations

import math

import pytest

from clipper.datatypes import Output
from clipper.selection.signals import (
    ConfidenceSignals,
    Signal,
    confidence_signals,
    sigmoid,
    signal_confidence,
)
from clipper.selection.votes import read_vote


def signals_of(text: str) -> ConfidenceSignals:
    return confidence_signals(read_vote(Output(text.encode(), text.encode())))


def test_signals_of_a_distribution() -> None:
    found = signals_of('{"probabilities": {"a": 0.7, "b": 0.2, "c": 0.1}}')
    nats = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1))
    assert found == pytest.approx((0.7, nats / math.log(3), 0.5))


def test_uniform_is_wholly_uncertain_and_one_hot_wholly_certain() -> None:
    assert signals_of('{"probabilities": [0.25, 0.25, 0.25, 0.25]}').entropy == pytest.approx(1)
    assert signals_of('{"probabilities": [0, 1, 0]}') == (1.0, 0.0, 1.0)


def test_the_confidence_is_that_of_the_label_named() -> None:
    found = signals_of('{"label": "b", "probabilities": {"a": 0.7, "b": 0.3}}')
    assert found.max_probability == 0.3


def test_probabilities_that_do_not_sum_to_one_count_by_their_shares() -> None:
    half = signals_of('{"label": 0, "confidence": 0.8, "probabilities": [0.4, 0.1]}')
    whole = signals_of('{"label": 0, "confidence": 0.8, "probabilities": [0.8, 0.2]}')
    assert half == pytest.approx(whole)


def test_a_confidence_alone_is_read_as_two_labels() -> None:
    alone = signals_of('{"label": "a", "confidence": 0.9}')
    assert alone == pytest.approx(signals_of('{"probabilities": {"a": 0.9, "b": 0.1}}'))


def test_less_than_even_odds_is_no_sureness_of_another_label() -> None:
    assert signals_of('{"label": "a", "confidence": 0.1}') == (0.1, 1.0, 0.0)


@pytest.mark.parametrize("text", ["3", '"a"', '{"label": 3}', '{"probabilities": [0, 0]}'])
def test_a_vote_that_says_nothing_of_its_sureness_is_unsure(text: str) -> None:
    found = signals_of(text)
    assert (found.entropy, found.margin) == (1.0, 0.0)
    assert found.max_probability == 0.0


def test_each_signal_grows_with_sureness() -> None:
    sure, unsure = ConfidenceSignals(0.9, 0.2, 0.8), ConfidenceSignals(0.5, 0.9, 0.1)
    gate = (-1.0, 2.0, -1.0, 1.0)
    for signal in Signal:
        assert signal_confidence(sure, signal, gate) > signal_confidence(unsure, signal, gate)


def test_the_gate_is_a_logistic_regression_on_the_signals() -> None:
    found = signal_confidence(ConfidenceSignals(0.9, 0.2, 0.8), Signal.GATE, (-1.0, 2.0, -3.0, 0.5))
    assert found == pytest.approx(sigmoid(-1.0 + 1.8 - 0.6 + 0.4))


def test_the_sigmoid_never_overflows() -> None:
    assert sigmoid(1e6) == 1.0
    assert sigmoid(-1e6) == pytest.approx(0.0)
    assert sigmoid(0.0) == 0.5
