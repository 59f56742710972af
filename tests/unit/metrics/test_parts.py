"""Snapshots in parts: bounded, complete, and as good as one taken at once."""

from __future__ import annotations

import pytest

from clipper.datatypes import DefaultReason
from clipper.metrics import Family, FrontendMetrics, Kind, MetricRegistry, Snapshot
from clipper.metrics.exposition import render_prometheus, render_prometheus_parts
from clipper.metrics.parts import PART_EFFORT, child_effort, join, portions, split

APPS, MODELS = 300, 40
COUNTER = Family("c_total", Kind.COUNTER, "", labels=("app",), owner=("app",))
HISTOGRAM = Family("h", Kind.HISTOGRAM, "", labels=("app",), bounds=(1.0, 2.0))


@pytest.fixture
def metrics() -> FrontendMetrics:
    """A worker with many applications and models, all of which had queries."""
    metrics = FrontendMetrics(lambda: 7.0, "0")
    metrics.objectives({f"a{number}": 0.1 for number in range(APPS)})
    metrics.links([(f"a{number}", f"m{number % MODELS}") for number in range(APPS)])
    for number in range(APPS):
        metrics.application(f"a{number}").defaulted(0.001 * number, DefaultReason.SLO)
    for number in range(MODELS):
        metrics.model(f"m{number}", "1").queue_length(number)
    return metrics


def _effort(part: Snapshot) -> int:
    return sum(
        len(family["children"]) * child_effort(family["kind"], family["bounds"])
        for family in part["families"].values()
    )


def test_each_step_reads_a_bounded_number_of_series(metrics: FrontendMetrics) -> None:
    parts = list(metrics.snapshot_parts())
    assert max(map(_effort, parts)) <= PART_EFFORT
    # Nor are there more steps than the work needs: each costs a turn of the event loop.
    assert len(parts) <= 1.2 * sum(map(_effort, parts)) / PART_EFFORT + 1


def test_the_parts_together_are_the_snapshot(metrics: FrontendMetrics) -> None:
    whole = metrics.snapshot()
    children = {name: len(family["children"]) for name, family in whole["families"].items()}
    assert children["clipper_slo_seconds"] == children["clipper_links"] == APPS
    assert children["clipper_prediction_latency_seconds"] == APPS
    assert children["clipper_default_predictions_total"] == APPS * len(DefaultReason)
    assert children["clipper_queue_length"] == MODELS
    for limit in (1, 50, PART_EFFORT, 10**9):
        parts = list(split(whole, limit))
        assert join(parts) == whole
        assert join(parts) == whole, "joining changes no part"
    assert join([]) == {"at_s": 0.0, "families": {}}


def test_a_child_that_is_above_the_limit_goes_alone() -> None:
    families = [("small", "ab", 2), ("large", "cd", 9), ("none", "", 1), ("small", "e", 2)]
    assert list(portions(families, limit=5)) == [
        [("small", "ab")],
        [("large", "c")],
        [("large", "d")],
        [("small", "e")],
    ]


def test_instruments_may_come_and_go_while_a_snapshot_is_taken() -> None:
    registry = MetricRegistry(lambda: 0.0)
    for number in range(1000):
        registry.counter(COUNTER, f"a{number}").inc()
        registry.histogram(HISTOGRAM, f"a{number}").observe(1.5)
    parts = []
    for taken, part in enumerate(registry.snapshot_parts()):
        parts.append(part)
        registry.counter(COUNTER, f"new{taken}").inc()
        registry.remove(app=f"a{999 - taken}")
    shown = join(parts)["families"]["h"]["children"]
    names = [labels[0] for labels, _ in shown]
    assert len(set(names)) == len(names) < 1000, "what went before its turn is not shown"
    later = {labels[0] for labels, _ in registry.snapshot()["families"]["c_total"]["children"]}
    assert {f"new{taken}" for taken in range(len(parts))} <= later


def test_prometheus_text_in_pieces_is_the_same_text(metrics: FrontendMetrics) -> None:
    whole = metrics.snapshot()
    pieces = list(render_prometheus_parts(whole))
    assert len(pieces) > 10
    text = render_prometheus(whole).decode()
    assert b"".join(pieces).decode() == text
    described = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(described) == len(set(described)), "no family is described twice"
    assert text.count("\nclipper_slo_seconds{") == APPS
