"""Metrics of a frontend worker: measured without locks, added over workers, rendered on demand.

`FrontendMetrics` is what the hot path sees. Its snapshots are plain values that `merge` adds, and
that `render_prometheus` and `render_json` (spec §11.1) show. Nothing but the standard library is
imported, so that the supervisor stays light.
"""

from clipper.metrics.exposition import CONTENT_TYPE, render_prometheus
from clipper.metrics.frontend import ApplicationMetrics, FrontendMetrics, ModelMetrics
from clipper.metrics.inspection import render_json
from clipper.metrics.instruments import Counter, Gauge, Histogram, Meter
from clipper.metrics.registry import Family, MetricRegistry
from clipper.metrics.snapshot import Aggregate, Kind, Snapshot, merge

__all__ = [
    "CONTENT_TYPE",
    "Aggregate",
    "ApplicationMetrics",
    "Counter",
    "Family",
    "FrontendMetrics",
    "Gauge",
    "Histogram",
    "Kind",
    "Meter",
    "MetricRegistry",
    "ModelMetrics",
    "Snapshot",
    "merge",
    "render_json",
    "render_prometheus",
]
