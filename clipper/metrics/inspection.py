"""Snapshots in the JSON form of the original, which ``inspect_instance`` returns (spec §11.1).

Every leaf is a string. Latencies are microseconds here, and only here. Percentiles are read off
the merged histograms, so they cover all observations since the start, not a sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

from clipper.metrics import distribution, families
from clipper.metrics.registry import Family
from clipper.metrics.snapshot import HistogramValue, MeterValue, Snapshot, Value

Fields = dict[str, str]
_MICROSECONDS = 1e6


def render_json(snapshot: Snapshot) -> dict[str, list[dict[str, Fields]]]:
    """Return ``{"counters": [{name: {"count": "…"}}], …}``; empty categories are left out."""
    categories = {
        "counters": list(_counters(snapshot)),
        "ratio_counters": list(_ratios(snapshot)),
        "meters": list(_meters(snapshot)),
        "histograms": list(_histograms(snapshot)),
    }
    return {name: members for name, members in categories.items() if members}


def _counters(snapshot: Snapshot) -> Iterator[dict[str, Fields]]:
    tasks = _tasks(snapshot)
    if tasks:
        yield _counter("internal:prediction_cache_lookups", sum(_looked_up(tasks).values()))
        yield _counter("internal:aggregate_num_predictions", sum(tasks.values()))
    for labels, value in _children(snapshot, families.PREDICTIONS):
        yield _counter(f"app:{labels[0]}:num_predictions", cast(float, value))
    for labels, value in _children(snapshot, families.BATCH_SIZE):
        queries = cast(HistogramValue, value)["sum"]
        yield _counter(f"model:{labels[0]}:{labels[1]}:num_predictions", queries)


def _ratios(snapshot: Snapshot) -> Iterator[dict[str, Fields]]:
    tasks = _tasks(snapshot)
    if tasks:
        yield _ratio("internal:prediction_cache_hit_ratio", _hit_ratio(tasks))
    defaults: dict[str, float] = {}
    for labels, value in _children(snapshot, families.DEFAULT_PREDICTIONS):
        defaults[labels[0]] = defaults.get(labels[0], 0) + cast(float, value)
    for labels, value in _children(snapshot, families.PREDICTIONS):
        ratio = _divide(defaults.get(labels[0], 0), cast(float, value))
        yield _ratio(f"app:{labels[0]}:default_prediction_ratio", ratio)
    lookups: dict[tuple[str, str], dict[str, float]] = {}
    for (name, version, result), value in _children(snapshot, families.CACHE_LOOKUPS):
        lookups.setdefault((name, version), {})[result] = cast(float, value)
    for (name, version), results in lookups.items():
        yield _ratio(f"model:{name}:{version}:cache_hit_ratio", _hit_ratio(results))


def _meters(snapshot: Snapshot) -> Iterator[dict[str, Fields]]:
    now_s = snapshot["at_s"]
    for _, value in _children(snapshot, families.ALL_THROUGHPUT):
        yield _meter("internal:aggregate_model_throughput", value, now_s)
    for labels, value in _children(snapshot, families.PREDICTION_THROUGHPUT):
        yield _meter(f"app:{labels[0]}:prediction_throughput", value, now_s)
    for labels, value in _children(snapshot, families.MODEL_THROUGHPUT):
        yield _meter(f"model:{labels[0]}:{labels[1]}:prediction_throughput", value, now_s)


def _histograms(snapshot: Snapshot) -> Iterator[dict[str, Fields]]:
    for family, suffix in (
        (families.PREDICTION_LATENCY, "prediction_latency"),
        (families.MODEL_LATENCY, "prediction_latency"),
        (families.BATCH_SIZE, "batch_size"),
    ):
        prefix = "app" if family.labels == ("app",) else "model"
        for labels, value in _children(snapshot, family):
            name = ":".join((prefix, *labels, suffix))
            yield {name: _histogram_fields(family, cast(HistogramValue, value))}


def _histogram_fields(family: Family, value: HistogramValue) -> Fields:
    bounds = list(family.bounds)
    is_time = family.name.endswith("_seconds")
    scale = _MICROSECONDS if is_time else 1.0
    numbers = {
        "min": math.nan if value["min"] is None else value["min"],
        "max": math.nan if value["max"] is None else value["max"],
        "mean": distribution.mean(value),
        "std_dev": distribution.std_dev(value),
        "p50": distribution.percentile(value, bounds, 0.50),
        "p95": distribution.percentile(value, bounds, 0.95),
        "p99": distribution.percentile(value, bounds, 0.99),
    }
    return {
        "unit": "microseconds" if is_time else "queries",
        "size": _text(sum(value["counts"])),
        **{name: _text(number * scale) for name, number in numbers.items()},
    }


def _meter(name: str, value: Value, now_s: float) -> dict[str, Fields]:
    meter = cast(MeterValue, value)
    # -1 until the first tick, as in the original.
    one, five, fifteen = meter["rates"] or (-1.0, -1.0, -1.0)
    return {
        name: {
            "unit": "events per second",
            "rate": _text(_divide(meter["count"], now_s - meter["since_s"])),
            "rate_1min": _text(one),
            "rate_5min": _text(five),
            "rate_15min": _text(fifteen),
        }
    }


def _counter(name: str, count: float) -> dict[str, Fields]:
    return {name: {"count": _text(count)}}


def _ratio(name: str, ratio: float) -> dict[str, Fields]:
    return {name: {"ratio": _text(ratio)}}


def _children(snapshot: Snapshot, family: Family) -> list[tuple[list[str], Value]]:
    found = snapshot["families"].get(family.name)
    return found["children"] if found else []


def _tasks(snapshot: Snapshot) -> dict[str, float]:
    return {
        labels[0]: cast(float, value) for labels, value in _children(snapshot, families.ALL_TASKS)
    }


def _looked_up(results: dict[str, float]) -> dict[str, float]:
    return {result: count for result, count in results.items() if result != "bypassed"}


def _hit_ratio(results: dict[str, float]) -> float:
    """A join of a computation in flight is no hit (spec §6)."""
    return _divide(results.get("hit", 0), sum(_looked_up(results).values()))


def _divide(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor else math.nan


def _text(number: float) -> str:
    if math.isnan(number):
        return "nan"
    return f"{number:.6f}".rstrip("0").rstrip(".")
