"""What the query frontend measures, as Prometheus and `inspect_instance` see it."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clipper.datatypes import DefaultReason
from clipper.metrics import (
    CONTENT_TYPE,
    Family,
    FrontendMetrics,
    families,
    render_json,
    render_prometheus,
)

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


@dataclasses.dataclass
class _Times:
    queue_s: float
    compute_s: float


class _Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def metrics(clock: _Clock) -> FrontendMetrics:
    return FrontendMetrics(clock, "1.2.3")


def _samples(metrics: FrontendMetrics) -> dict[tuple[str, ...], float]:
    """Return what Prometheus reads: name and label values → value."""
    text = render_prometheus(metrics.snapshot()).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _json(metrics: FrontendMetrics) -> dict[str, dict[str, Any]]:
    """Return the JSON form with each category's list joined to one object."""
    return {
        category: {name: fields for member in members for name, fields in member.items()}
        for category, members in render_json(metrics.snapshot()).items()
    }


def test_queries_and_defaults_by_reason(metrics: FrontendMetrics) -> None:
    app = metrics.application("a")
    app.answered(0.0012)
    app.answered(0.018)
    app.defaulted(0.02, DefaultReason.SLO)
    found = _samples(metrics)
    assert found["clipper_predictions_total", "a"] == 3
    assert found["clipper_default_predictions_total", "a", "slo"] == 1
    assert found["clipper_default_predictions_total", "a", "no-replica"] == 0
    assert found["clipper_prediction_latency_seconds_count", "a"] == 3
    assert found["clipper_prediction_latency_seconds_sum", "a"] == pytest.approx(0.0392)
    buckets = [
        found["clipper_prediction_latency_seconds_bucket", "a", le]
        for le in ("0.001", "0.0015", "0.015", "0.02", "+Inf")
    ]
    assert buckets == [0, 1, 1, 3, 3]


def test_a_batch_from_queue_to_answer(metrics: FrontendMetrics) -> None:
    model = metrics.model("m", "1")
    model.sent([0.001, 0.003], [0.017, -0.004], cap=8)
    model.answered(2, _Times(queue_s=0.0005, compute_s=0.004), round_trip_s=0.005)
    model.cap(7, 8)
    model.replicas("ready", 2)
    model.queue_length(3)
    model.missed(2)
    found = _samples(metrics)
    for name, total in {
        "clipper_queue_wait_seconds_sum": 0.004,
        "clipper_deadline_slack_seconds_sum": 0.013,
        "clipper_batch_wait_seconds_sum": 0.0005,
        "clipper_model_compute_seconds_sum": 0.004,
        "clipper_batch_round_trip_seconds_sum": 0.005,
        "clipper_batch_size_sum": 2.0,
        "clipper_batch_slots_total": 8.0,
        "clipper_deadline_misses_total": 2.0,
        "clipper_queue_length": 3.0,
    }.items():
        assert found[name, "m", "1"] == pytest.approx(total), name
    assert found["clipper_deadline_slack_seconds_bucket", "m", "1", "0.0"] == 1
    assert found["clipper_batch_size_cap", "m", "1", "7"] == 8
    assert found["clipper_replicas", "m", "1", "ready"] == 2


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -1.0])
def test_a_container_cannot_poison_the_sums(metrics: FrontendMetrics, nonsense: float) -> None:
    model = metrics.model("m", "1")
    model.answered(1, _Times(nonsense, nonsense), round_trip_s=0.005)
    found = _samples(metrics)
    assert found["clipper_model_compute_seconds_count", "m", "1"] == 0
    assert found["clipper_batch_wait_seconds_sum", "m", "1"] == 0
    assert found["clipper_batch_size_count", "m", "1"] == 1


def test_a_removed_model_is_gone_even_if_its_batches_still_report(
    metrics: FrontendMetrics,
) -> None:
    kept, removed = metrics.model("m", "1"), metrics.model("m", "2")
    kept.queue_length(1)
    removed.cap(0, 4)
    removed.cache_hit()
    metrics.remove_model("m", "2")
    removed.queue_length(5)
    removed.replicas("ready", 1)
    removed.answered(1, _Times(0, 0), 0.1)
    found = _samples(metrics)
    assert not [key for key in found if key[1:3] == ("m", "2")]
    assert found["clipper_queue_length", "m", "1"] == 1
    # What was looked up stays looked up.
    assert _json(metrics)["counters"]["internal:prediction_cache_lookups"] == {"count": "1"}
    assert metrics.model("m", "2") is not removed


def test_a_replica_that_left_shows_no_cap(metrics: FrontendMetrics) -> None:
    model = metrics.model("m", "1")
    model.cap(1, 4)
    model.cap(2, 8)
    model.replica_gone(1)
    found = _samples(metrics)
    assert [key[3] for key in found if key[0] == "clipper_batch_size_cap"] == ["2"]


def test_frontend_wide_metrics(metrics: FrontendMetrics) -> None:
    metrics.cache_bytes.set(4096)
    metrics.cache_evictions.inc(3)
    metrics.config_revision.set(12)
    for code in (200, 200, 404):
        metrics.http_response(code)
    found = _samples(metrics)
    assert found["clipper_cache_bytes",] == 4096
    assert found["clipper_cache_evictions_total",] == 3
    assert found["clipper_config_revision",] == 12
    assert found["clipper_http_responses_total", "200"] == 2
    assert found["clipper_info", "1.2.3"] == 1


def test_label_values_are_escaped(metrics: FrontendMetrics) -> None:
    name = 'a"b\\n\nc'
    metrics.application(name).answered(0.1)
    assert _samples(metrics)["clipper_predictions_total", name] == 1
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_every_exposed_name_has_prefix_base_unit_and_kind_suffix(metrics: FrontendMetrics) -> None:
    metrics.application("a").defaulted(0.1, DefaultReason.SHED)
    metrics.model("m", "1").cache_miss()
    for name, family in metrics.snapshot()["families"].items():
        assert name.startswith("clipper_")
        assert family["help"]
        if family["exposed"]:
            assert name.endswith("_total") == (family["kind"] == "counter"), name
            assert not name.endswith(("_ms", "_us", "_microseconds")), name


def test_the_json_form_of_an_application(metrics: FrontendMetrics, clock: _Clock) -> None:
    app = metrics.application("a")
    for latency_s in (0.001, 0.002, 0.003):
        app.answered(latency_s)
    app.defaulted(0.02, DefaultReason.SLO)
    clock.now_s = 5.0
    found = _json(metrics)
    assert found["counters"]["app:a:num_predictions"] == {"count": "4"}
    assert found["ratio_counters"]["app:a:default_prediction_ratio"] == {"ratio": "0.25"}
    assert found["meters"]["app:a:prediction_throughput"] == {
        "unit": "events per second",
        "rate": "0.8",
        "rate_1min": "0.8",
        "rate_5min": "0.8",
        "rate_15min": "0.8",
    }
    assert found["histograms"]["app:a:prediction_latency"] == {
        "unit": "microseconds",
        "size": "4",
        "min": "1000",
        "max": "20000",
        "mean": "6500",
        "std_dev": "7826.237921",
        "p50": "2000",
        "p95": "19000",
        "p99": "19800",
    }


def test_the_json_form_of_a_model(metrics: FrontendMetrics) -> None:
    model = metrics.model("m", "1")
    for call, times in (
        (model.cache_hit, 3),
        (model.cache_miss, 2),
        (model.cache_coalesced, 1),
        (model.cache_bypassed, 4),
    ):
        for _ in range(times):
            call()
    model.answered(3, _Times(0.0, 0.01), 0.01)
    found = _json(metrics)
    assert found["counters"] == {
        "internal:prediction_cache_lookups": {"count": "6"},
        "internal:aggregate_num_predictions": {"count": "10"},
        "model:m:1:num_predictions": {"count": "3"},
    }
    # A join of an equal query in flight is no hit; a query past the cache is no lookup.
    assert found["ratio_counters"] == {
        "internal:prediction_cache_hit_ratio": {"ratio": "0.5"},
        "model:m:1:cache_hit_ratio": {"ratio": "0.5"},
    }
    # Once for each query of the batch, as the original counted.
    assert found["histograms"]["model:m:1:prediction_latency"]["size"] == "3"
    assert found["histograms"]["model:m:1:batch_size"]["unit"] == "queries"
    assert found["histograms"]["model:m:1:batch_size"]["p99"] == "3"
    assert found["meters"]["model:m:1:prediction_throughput"]["rate_1min"] == "-1"


def test_the_json_form_before_anything_happened(metrics: FrontendMetrics) -> None:
    assert render_json(metrics.snapshot()) == {
        "counters": [
            {"internal:prediction_cache_lookups": {"count": "0"}},
            {"internal:aggregate_num_predictions": {"count": "0"}},
        ],
        "ratio_counters": [{"internal:prediction_cache_hit_ratio": {"ratio": "nan"}}],
        "meters": [
            {
                "internal:aggregate_model_throughput": {
                    "unit": "events per second",
                    "rate": "nan",
                    "rate_1min": "-1",
                    "rate_5min": "-1",
                    "rate_15min": "-1",
                }
            }
        ],
    }
    assert render_json({"at_s": 0.0, "families": {}}) == {}


def test_the_documentation_knows_every_exposed_metric() -> None:
    documented = (REPOSITORY / "docs" / "metrics.md").read_text()
    exposed = {
        family.name
        for family in vars(families).values()
        if isinstance(family, Family) and family.exposed
    }
    assert {name for name in exposed if f"`{name}`" not in documented} == set()
