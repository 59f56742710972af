"""Calibration: turns a raw confidence into a probability of being right, from labelled feedback.

What is learned from is a histogram of raw confidences in the selection state, which only grows by
additions: for each of 50 bins the number of labelled answers (``cal/n/<bin>``), of right ones
(``cal/ok/<bin>``) and the sum of their raw confidences (``cal/sum/<bin>``). Fitting takes the bins
for points; nothing else of the past is kept.

Methods: pool adjacent violators (Zadrozny and Elkan 2002); Platt 1999 with the targets and the
safeguarded Newton steps of Lin, Lin and Weng 2007, on the log-odds of the confidence; temperature
scaling (Guo et al. 2017) of those log-odds.
"""

from __future__ import annotations

import bisect
import enum
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from clipper.selection.policy import Addition, State

BINS = 50
ENOUGH_LABELS = 30
"""Fewer labelled answers than these calibrate nothing."""

Calibrator = Callable[[float], float]
"""Raw confidence → probability that the answer is right, both between 0 and 1."""

_MARGIN = 1e-4
"""Confidences nearer than this to 0 and 1 are moved there before their log-odds are taken."""
_NEWTON_STEPS = 100
_LARGEST_LOG_TEMPERATURE = 3.0


class Calibration(enum.StrEnum):
    """How raw confidences are calibrated."""

    NONE = "none"
    ISOTONIC = "isotonic"
    """Any rising curve: needs most labels, assumes least."""
    PLATT = "platt"
    """A line in log-odds."""
    TEMPERATURE = "temperature"
    """A line through the origin in log-odds: keeps what is above one half above it."""


class ReliabilityBin(msgspec.Struct, frozen=True):
    """Answers of about the same calibrated confidence: one bar of a reliability diagram."""

    lower: float
    upper: float
    count: int
    confidence: float
    """Their mean calibrated confidence."""
    accuracy: float
    """Share of them that were right."""


class _Point(NamedTuple):
    """One filled bin."""

    raw: float
    """Mean raw confidence."""
    answers: float
    right: float


def is_right(answer_loss: float) -> bool:
    """Return whether an answer counts as right; of graded losses, that is the better half."""
    return answer_loss < 0.5


def observations(raw_confidence: float, correct: bool) -> Sequence[Addition]:
    """Return what one labelled answer adds to the state."""
    at = min(BINS - 1, max(0, int(raw_confidence * BINS)))
    added = [Addition(f"cal/n/{at}", 1.0), Addition(f"cal/sum/{at}", raw_confidence)]
    if correct:
        added.append(Addition(f"cal/ok/{at}", 1.0))
    return added


def fit(kind: Calibration, state: State) -> Calibrator:
    """Return the calibrator that the state's labelled answers ask for.

    It is the identity while they are fewer than `ENOUGH_LABELS`. Fitting takes about a
    millisecond; calling the result, well under a microsecond of it for ``isotonic``, about one
    for the others.
    """
    points = _points(state)
    if kind is Calibration.NONE or sum(point.answers for point in points) < ENOUGH_LABELS:
        return _identity
    if kind is Calibration.ISOTONIC:
        return _isotonic(points)
    if kind is Calibration.PLATT:
        return _platt(points)
    return _temperature(points)


def expected_calibration_error(
    state: State, calibrator: Calibrator, bins: int = 10
) -> float | None:
    """Return the mean distance between confidence and accuracy over bins of equal width.

    On the answers that the calibrator was fitted to this flatters it. None: there is no labelled
    answer.
    """
    table = reliability(state, calibrator, bins)
    total = sum(one.count for one in table)
    if not total:
        return None
    return sum(one.count * abs(one.accuracy - one.confidence) for one in table) / total


def reliability(state: State, calibrator: Calibrator, bins: int = 10) -> list[ReliabilityBin]:
    """Return the filled bars of the reliability diagram, in order of confidence."""
    counts, rights, sums = [0.0] * bins, [0.0] * bins, [0.0] * bins
    for point in _points(state):
        calibrated = calibrator(point.raw)
        at = min(bins - 1, int(calibrated * bins))
        counts[at] += point.answers
        rights[at] += point.right
        sums[at] += point.answers * calibrated
    return [
        ReliabilityBin(
            at / bins, (at + 1) / bins, round(counts[at]),
            sums[at] / counts[at], rights[at] / counts[at],
        )
        for at in range(bins)
        if counts[at] > 0
    ]  # fmt: skip


def _points(state: State) -> list[_Point]:
    points = []
    for at in range(BINS):
        count = state.get(f"cal/n/{at}", 0.0)
        if count > 0.0:
            raw = state.get(f"cal/sum/{at}", 0.0) / count
            points.append(_Point(raw, count, state.get(f"cal/ok/{at}", 0.0)))
    return points


def _identity(raw: float) -> float:
    return raw


def _isotonic(points: Sequence[_Point]) -> Calibrator:
    pooled: list[list[float]] = []
    """Blocks of bins: right answers, answers, bins."""
    for point in points:
        pooled.append([point.right, point.answers, 1])
        while len(pooled) > 1 and _falls(pooled[-2], pooled[-1]):
            right, count, size = pooled.pop()
            for part, value in enumerate((right, count, size)):
                pooled[-1][part] += value
    levels = [right / count for right, count, size in pooled for _ in range(int(size))]
    return _piecewise_linear([point.raw for point in points], levels)


def _falls(left: Sequence[float], right: Sequence[float]) -> bool:
    return left[0] * right[1] > right[0] * left[1]


def _piecewise_linear(at: Sequence[float], levels: Sequence[float]) -> Calibrator:
    """Return the curve through the points, level beyond the outermost ones."""
    places = list(at)
    segments = [(at[0], levels[0], 0.0)]
    for left in range(len(places) - 1):
        slope = (levels[left + 1] - levels[left]) / (places[left + 1] - places[left])
        segments.append((places[left], levels[left], slope))
    segments.append((places[-1], levels[-1], 0.0))
    find = bisect.bisect_right

    def curve(raw: float) -> float:
        start, level, slope = segments[find(places, raw)]
        return level + slope * (raw - start)

    return curve


def _log_odds(confidence: float) -> float:
    bounded = min(1.0 - _MARGIN, max(_MARGIN, confidence))
    return math.log(bounded / (1.0 - bounded))


def _sigmoid(log_odds: float) -> float:
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    grown = math.exp(max(log_odds, -700.0))
    return grown / (1.0 + grown)


def _line(slope: float, intercept: float) -> Calibrator:
    def curve(raw: float) -> float:
        return _sigmoid(slope * _log_odds(raw) + intercept)

    return curve


def _platt(points: Sequence[_Point]) -> Calibrator:
    right = sum(point.right for point in points)
    wrong = sum(point.answers for point in points) - right
    # Smoothed targets: a handful of labels, all right, must not claim certainty.
    good, bad = (right + 1.0) / (right + 2.0), 1.0 / (wrong + 2.0)
    data = [
        (_log_odds(p.raw), p.answers, p.right * good + (p.answers - p.right) * bad) for p in points
    ]
    slope, intercept = 0.0, math.log((right + 1.0) / (wrong + 1.0))
    cost = _line_cost(data, slope, intercept)
    for _ in range(_NEWTON_STEPS):
        to_slope, to_intercept = _newton_step(data, slope, intercept)
        step = 1.0
        while step > 1e-8:
            tried = (slope + step * to_slope, intercept + step * to_intercept)
            new_cost = _line_cost(data, *tried)
            if new_cost < cost:
                break
            step /= 2.0
        else:
            break
        gained, cost, (slope, intercept) = cost - new_cost, new_cost, tried
        if gained < 1e-10 * (1.0 + cost):
            break
    return _line(slope, intercept)


def _newton_step(
    data: Sequence[tuple[float, float, float]], slope: float, intercept: float
) -> tuple[float, float]:
    g0 = g1 = h01 = 0.0
    h00 = h11 = 1e-9  # keeps the matrix regular when all confidences are equal
    for at, count, target in data:
        said = _sigmoid(slope * at + intercept)
        residual, weight = target - count * said, count * said * (1.0 - said)
        g0 += residual * at
        g1 += residual
        h00 += weight * at * at
        h01 += weight * at
        h11 += weight
    determinant = h00 * h11 - h01 * h01
    return (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant


def _line_cost(data: Sequence[tuple[float, float, float]], slope: float, intercept: float) -> float:
    """Return the negative log-likelihood; ``data`` are log-odds, counts and sums of targets."""
    return sum(
        count * _softplus(slope * at + intercept) - target * (slope * at + intercept)
        for at, count, target in data
    )


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def _temperature(points: Sequence[_Point]) -> Calibrator:
    data = [(_log_odds(point.raw), point.answers, point.right) for point in points]

    def cost(log_temperature: float) -> float:
        return _line_cost(data, math.exp(-log_temperature), 0.0)

    best = _golden_section(cost, -_LARGEST_LOG_TEMPERATURE, _LARGEST_LOG_TEMPERATURE)
    return _line(math.exp(-best), 0.0)


def _golden_section(cost: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function with one valley is least."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = cost(left), cost(right)
    while high - low > 1e-4:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = cost(right)
    return (low + high) / 2.0
