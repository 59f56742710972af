"""The container's own Prometheus metrics (spec §11.3) and the port that serves them."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, start_http_server
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_log = logging.getLogger(__name__)

_LATENCY_BUCKETS_MS = tuple(map(float, (5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 400, 500)))
_OVERHEAD_BUCKETS_MS = tuple(n / 10 for n in range(1, 11))


class _Histogram(Collector):
    """Counts of values in buckets, in a quarter of the time of the library's class.

    The model waits for it between two batches. One thread observes; any may collect.
    """

    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        self._name = name
        self._text = text
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterable[Metric]:
        """Return the buckets, each with all below it, as Prometheus wants them."""
        labels = [*map(floatToGoString, self._bounds), "+Inf"]
        counts = zip(labels, map(float, accumulate(self._counts)), strict=True)
        yield HistogramMetricFamily(self._name, self._text, list(counts), self._sum)

    describe = collect


class ContainerMetrics:
    """One observation per batch; only the counter counts predictions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._predictions = Counter("clipper_mc_pred", "Predictions", registry=registry)
        self._end_to_end = self._histogram(
            "end_to_end_latency_ms", "From the arrival of a batch to its reply", _LATENCY_BUCKETS_MS
        )
        self._handle = self._histogram("handle_time_ms", "The model alone", _LATENCY_BUCKETS_MS)
        self._recv = self._histogram(
            "recv_time_ms", "From the arrival of a batch to its start", _OVERHEAD_BUCKETS_MS
        )
        self._parse = self._histogram(
            "parse_time_ms", "Unpacking the inputs of a batch", _OVERHEAD_BUCKETS_MS
        )

    def observe_batch(
        self, size: int, *, parse_s: float, queue_s: float, compute_s: float, total_s: float
    ) -> None:
        """Count one answered batch of ``size`` predictions."""
        self._predictions.inc(size)
        self._end_to_end.observe(total_s * 1000)
        self._handle.observe(compute_s * 1000)
        self._recv.observe(queue_s * 1000)
        self._parse.observe(parse_s * 1000)

    def serve(self, host: str, port: int | None) -> int:
        """Serve the registry over HTTP and return the port; 0 when there is none to serve on.

        A taken port is a warning: predictions matter more than their metrics.
        """
        if port is None:
            return 0
        try:
            server, _ = start_http_server(port, addr=host, registry=self._registry)
        except OSError as error:
            _log.warning("No metrics: port %d cannot be bound (%s)", port, error)
            return 0
        return int(server.server_port)

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> _Histogram:
        histogram = _Histogram(f"clipper_mc_{name}", text, bounds)
        self._registry.register(histogram)
        return histogram
