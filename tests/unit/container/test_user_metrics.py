from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from clipper.container.metrics import ContainerMetrics
from clipper.container.user_metrics import UserMetrics
from clipper.errors import ClipperException


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> UserMetrics:
    return UserMetrics(registry)


def test_each_type_takes_values_in_its_own_way(
    metrics: UserMetrics, registry: CollectorRegistry
) -> None:
    for kind in ("Gauge", "Counter", "Histogram", "Summary"):
        metrics.add(f"my_{kind.lower()}", kind, "text")
        metrics.report(f"my_{kind.lower()}", 3)
        metrics.report(f"my_{kind.lower()}", 4)
    assert registry.get_sample_value("my_gauge") == 4
    assert registry.get_sample_value("my_counter_total") == 7
    assert registry.get_sample_value("my_histogram_bucket", {"le": "5.0"}) == 2
    assert registry.get_sample_value("my_summary_sum") == 7


def test_buckets_are_used(metrics: UserMetrics, registry: CollectorRegistry) -> None:
    metrics.add("h", "Histogram", "text", buckets=[1, 2])
    metrics.report("h", 1.5)
    assert registry.get_sample_value("h_bucket", {"le": "2.0"}) == 1


def test_a_repeated_name_is_left_alone(metrics: UserMetrics) -> None:
    metrics.add("same", "Gauge", "text")
    metrics.add("same", "Counter", "other")
    metrics.report("same", -1)


def test_mistakes_are_clipper_exceptions(metrics: UserMetrics) -> None:
    with pytest.raises(ClipperException, match="Metric type needs to be one of"):
        metrics.add("x", "Meter", "text")
    with pytest.raises(ClipperException, match="was not added"):
        metrics.report("x", 1)
    Gauge("again", "taken by somebody else", registry=metrics.registry)
    with pytest.raises(ClipperException, match="cannot be added"):
        metrics.add("again", "Gauge", "text")
    metrics.add("c", "Counter", "text")
    with pytest.raises(ClipperException, match="cannot take -1"):
        metrics.report("c", -1)
    with pytest.raises(ClipperException, match="cannot take 'many'"):
        metrics.report("c", "many")  # type: ignore[arg-type]


def test_container_metrics_have_the_documented_names(registry: CollectorRegistry) -> None:
    metrics = ContainerMetrics(registry)
    metrics.observe_batch(5, parse_s=0.0002, queue_s=0.01, compute_s=0.04, total_s=0.06)
    assert registry.get_sample_value("clipper_mc_pred_total") == 5
    for name, bucket in [
        ("end_to_end_latency_ms", "75.0"),
        ("handle_time_ms", "50.0"),
        ("recv_time_ms", "+Inf"),
        ("parse_time_ms", "0.2"),
    ]:
        assert registry.get_sample_value(f"clipper_mc_{name}_bucket", {"le": bucket}) == 1
    assert b'recv_time_ms_bucket{le="0.1"} 0.0' in generate_latest(registry)
