"""Instruments and the numbers read off histograms, exactly."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest

from clipper.metrics.distribution import mean, percentile, std_dev
from clipper.metrics.families import LATENCY_BOUNDS_S, SLACK_BOUNDS_S
from clipper.metrics.instruments import Histogram, Meter
from clipper.metrics.registry import Family, MetricRegistry
from clipper.metrics.snapshot import HistogramValue, Kind

BOUNDS = (1.0, 2.0, 4.0)


def _shown(bounds: tuple[float, ...], values: list[float]) -> HistogramValue:
    registry = MetricRegistry(lambda: 0.0)
    family = Family("h", Kind.HISTOGRAM, "", bounds=bounds)
    registry.histogram(family).observe_many(values)
    [(_, value)] = registry.snapshot()["families"]["h"]["children"]
    assert isinstance(value, dict)
    return value  # type: ignore[return-value]


def test_a_value_on_a_bound_belongs_below_it_as_prometheus_counts() -> None:
    histogram = Histogram(BOUNDS)
    histogram.observe_many([0.5, 1.0, 1.5, 4.0, 4.5, 9.0])
    histogram.settle()
    assert histogram.counts == [2, 1, 1, 2]
    assert (histogram.sum, histogram.min, histogram.max) == (20.5, 0.5, 9.0)


@pytest.mark.parametrize("count", [1, 3, 255, 256, 257, 1000])
def test_values_sorted_together_land_where_each_would(count: int) -> None:
    values = [((number * 7919) % 1000) / 200 for number in range(count)]
    histogram = Histogram(BOUNDS)
    for value in values[: count // 2]:
        histogram.observe(value)
    histogram.observe_many(values[count // 2 :])
    histogram.settle()

    edges = [-math.inf, *BOUNDS, math.inf]
    expected = [
        sum(low < value <= high for value in values) for low, high in itertools.pairwise(edges)
    ]
    assert histogram.counts == expected
    assert histogram.sum == pytest.approx(sum(values))
    assert histogram.sum_squares == pytest.approx(sum(value**2 for value in values))
    assert (histogram.min, histogram.max) == (min(values), max(values))


def test_what_was_observed_last_is_in_the_snapshot() -> None:
    assert _shown(BOUNDS, [0.5, 3.0])["counts"] == [1, 0, 1, 0]


def test_a_repeated_observation_is_that_many_observations() -> None:
    repeated, one_by_one = Histogram(BOUNDS), Histogram(BOUNDS)
    repeated.observe_repeated(1.5, 3)
    repeated.observe_repeated(9.0, 0)
    one_by_one.observe_many([1.5] * 3)
    one_by_one.settle()
    for attribute in Histogram.__slots__:
        assert getattr(repeated, attribute) == getattr(one_by_one, attribute)


def test_statistics_of_the_original_s_example() -> None:
    value = _shown((50.0, 100.0, 150.0, 200.0), [16, 53, 104, 113, 185, 202])
    assert mean(value) == pytest.approx(112.17, abs=0.005)
    assert std_dev(value) == pytest.approx(66.06, abs=0.01)


def test_percentiles_interpolate_inside_the_bucket() -> None:
    # Ten values in (1, 2], ten in (2, 4], and the extremes narrow the outer buckets.
    value = _shown(BOUNDS, [1.2] + [1.5] * 9 + [2.5] * 9 + [3.0])
    bounds = list(BOUNDS)
    assert percentile(value, bounds, 0.0) == 1.2
    assert percentile(value, bounds, 0.25) == pytest.approx(1.6)
    assert percentile(value, bounds, 0.50) == pytest.approx(2.0)
    assert percentile(value, bounds, 0.75) == pytest.approx(2.5)
    assert percentile(value, bounds, 1.0) == 3.0


def test_percentiles_beyond_the_last_bound_end_at_the_largest_value() -> None:
    value = _shown(BOUNDS, [6.0, 10.0])
    assert percentile(value, list(BOUNDS), 0.5) == 8.0
    assert percentile(value, list(BOUNDS), 0.99) == pytest.approx(9.96)


def test_equal_values_have_that_value_at_every_percentile() -> None:
    value = _shown(BOUNDS, [1.7] * 5)
    assert {percentile(value, list(BOUNDS), share) for share in (0.5, 0.95, 0.99)} == {1.7}
    assert std_dev(value) == pytest.approx(0.0, abs=1e-6)


def test_nothing_observed_has_no_statistics() -> None:
    value = _shown(BOUNDS, [])
    assert value["min"] is None
    assert all(
        math.isnan(number)
        for number in (mean(value), std_dev(value), percentile(value, list(BOUNDS), 0.5))
    )


def test_percentiles_of_negative_slack() -> None:
    value = _shown(SLACK_BOUNDS_S, [-0.5, -0.5, 0.004])
    assert percentile(value, list(SLACK_BOUNDS_S), 0.5) == pytest.approx(-0.2, abs=0.1)
    assert percentile(value, list(SLACK_BOUNDS_S), 1.0) == 0.004


@pytest.mark.parametrize("true_s", [0.001, 0.0031, 0.02, 0.021, 0.1])
def test_latency_buckets_keep_the_median_within_thirty_percent(true_s: float) -> None:
    values = [true_s * (0.9 + 0.2 * step / 100) for step in range(101)]
    found = percentile(_shown(LATENCY_BOUNDS_S, values), list(LATENCY_BOUNDS_S), 0.5)
    assert found == pytest.approx(statistics.median(values), rel=0.3)


def test_a_meter_has_no_averages_before_its_first_tick() -> None:
    meter = Meter(now_s=100.0)
    meter.mark(7)
    meter.tick(104.9)
    assert (meter.count, meter.rates) == (7, None)


def test_a_steady_meter_shows_its_rate_in_every_window() -> None:
    meter = Meter(now_s=0.0)
    for second in range(1, 101):
        meter.mark()
        meter.tick(float(second))
    assert meter.count == 100
    assert meter.rates == pytest.approx([1.0, 1.0, 1.0])


def test_averages_decay_by_the_tick_weights() -> None:
    meter = Meter(now_s=0.0)
    meter.mark(50)
    meter.tick(5.0)
    assert meter.rates == [10.0, 10.0, 10.0]
    meter.tick(10.0)
    assert meter.rates == pytest.approx(
        [10.0 * math.exp(-5 / (60 * minutes)) for minutes in (1, 5, 15)]
    )


def test_overdue_ticks_decay_as_far_as_ticks_on_time() -> None:
    late, on_time = Meter(now_s=0.0), Meter(now_s=0.0)
    for meter in (late, on_time):
        meter.mark(50)
        meter.tick(5.0)
    for second in (10.0, 15.0, 20.0):
        on_time.tick(second)
    late.tick(21.0)
    assert late.rates == pytest.approx(on_time.rates)


def test_a_registry_refuses_contradictions() -> None:
    registry = MetricRegistry(lambda: 0.0)
    family = Family("c", Kind.COUNTER, "", labels=("app",))
    assert registry.counter(family, "a") is registry.counter(family, "a")
    with pytest.raises(ValueError, match="c has labels"):
        registry.counter(family, "a", "b")
    with pytest.raises(ValueError, match="c is declared twice"):
        registry.counter(Family("c", Kind.COUNTER, "", labels=("model",)), "a")


def test_removal_takes_children_with_all_the_labels_and_no_others() -> None:
    registry = MetricRegistry(lambda: 0.0)
    by_model = Family("m", Kind.COUNTER, "", labels=("model", "version"))
    by_replica = Family("r", Kind.GAUGE, "", labels=("model", "version", "replica"))
    by_app = Family("a", Kind.COUNTER, "", labels=("app",))
    registry.counter(by_model, "x", "1")
    registry.counter(by_model, "x", "2")
    registry.gauge(by_replica, "x", "1", "0")
    registry.counter(by_app, "x")
    registry.remove(model="x", version="1")
    families = registry.snapshot()["families"]
    assert {name: [labels for labels, _ in f["children"]] for name, f in families.items()} == {
        "m": [["x", "2"]],
        "a": [["x"]],
    }
