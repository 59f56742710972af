"""Metrics that user code adds to its container's own (spec §11.4).

Prediction functions call the two module functions; what they add appears beside the container's
metrics on its metrics port. They act on one registry of the process, because user code has no
other way to reach it; the runtime serves that registry.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary

from clipper.errors import ClipperException

DEFAULT_BUCKETS = (5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 400, 500, math.inf)
METRIC_TYPES = ("Gauge", "Counter", "Histogram", "Summary")

_Metric: TypeAlias = Gauge | Counter | Histogram | Summary


class UserMetrics:
    """Metrics by name on one registry. Thread safe: user code may have threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._metrics: dict[str, _Metric] = {}
        self._lock = threading.Lock()

    def add(
        self,
        name: str,
        metric_type: str,
        description: str,
        buckets: Sequence[float] = DEFAULT_BUCKETS,
    ) -> None:
        """Add a metric; a name that was added before is left as it is.

        Raises:
            ClipperException: no such type, or Prometheus does not accept the name or buckets.
        """
        if metric_type not in METRIC_TYPES:
            raise ClipperException(f"Metric type needs to be one of {list(METRIC_TYPES)}")
        with self._lock:
            if name not in self._metrics:
                self._metrics[name] = self._make(name, metric_type, description, buckets)

    def report(self, name: str, value: float) -> None:
        """Set a gauge, raise a counter, or observe a value.

        Raises:
            ClipperException: the metric was not added, or the value does not suit it.
        """
        metric = self._metrics.get(name)
        if metric is None:
            raise ClipperException(
                f"Metric {name} was not added in this process. Call add_metric first"
            )
        try:
            _report(metric, float(value))
        except (TypeError, ValueError) as error:
            raise ClipperException(f"Metric {name} cannot take {value!r}: {error}") from error

    def _make(
        self, name: str, metric_type: str, description: str, buckets: Sequence[float]
    ) -> _Metric:
        try:
            if metric_type == "Histogram":
                return Histogram(name, description, buckets=buckets, registry=self.registry)
            if metric_type == "Counter":
                return Counter(name, description, registry=self.registry)
            if metric_type == "Summary":
                return Summary(name, description, registry=self.registry)
            return Gauge(name, description, registry=self.registry)
        except ValueError as error:
            raise ClipperException(f"Metric {name} cannot be added: {error}") from error


def _report(metric: _Metric, value: float) -> None:
    if isinstance(metric, Gauge):
        metric.set(value)
    elif isinstance(metric, Counter):
        metric.inc(value)
    else:
        metric.observe(value)


PROCESS_METRICS = UserMetrics(CollectorRegistry())
"""The one that the module functions act on and that the runtime serves."""


def add_metric(
    name: str, metric_type: str, description: str, buckets: Sequence[float] = DEFAULT_BUCKETS
) -> None:
    """Add a metric to this container; see `UserMetrics.add`."""
    PROCESS_METRICS.add(name, metric_type, description, buckets)


def report_metric(name: str, val: float) -> None:
    """Report a value of an added metric; see `UserMetrics.report`."""
    PROCESS_METRICS.report(name, val)
