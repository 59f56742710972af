"""The container's own Prometheus metrics (spec §11.3) and the port that serves them."""

from __future__ import annotations

import logging
import math

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

_log = logging.getLogger(__name__)

_LATENCY_BUCKETS_MS = (5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 400, 500, math.inf)
_OVERHEAD_BUCKETS_MS = (*(n / 10 for n in range(1, 11)), math.inf)


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

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"clipper_mc_{name}", text, buckets=buckets, registry=self._registry)
