"""What a cluster's own Prometheus must know of a frontend and two replicas (I6, I7: spec §12.3)."""

from __future__ import annotations

from tests.e2e.clusters import Cluster, eventually
from tests.prometheus import Prometheus

_HISTOGRAMS = ("end_to_end_latency_ms", "handle_time_ms", "recv_time_ms", "parse_time_ms")
_SERIES = ("clipper_mc_pred_total", *(f"clipper_mc_{name}_sum" for name in _HISTOGRAMS))


def prometheus_of(cluster: Cluster) -> Prometheus:
    return Prometheus(f"http://{cluster.manager.get_metric_addr()}")


def all_up(prometheus: Prometheus, count: int) -> None:
    """Exactly so many targets become active, and all are up."""
    eventually(
        lambda: list(prometheus.targets().values()) == ["up"] * count,
        f"exactly {count} targets, all up",
        timeout_s=60,
    )


def two_series_each(prometheus: Prometheus) -> None:
    """Each metric of model containers has two series, of two replicas of ``m:1``."""
    for name in _SERIES:
        series = eventually(
            lambda name=name: len(found := prometheus.series(name)) == 2 and found,
            f"{name} has two series",
        )
        assert {one["model_name"] for one in series} == {"m"}
        assert {one["model_version"] for one in series} == {"1"}
        assert len({one["container"] for one in series}) == 2


def all_counted(prometheus: Prometheus, least: int) -> None:
    """Prometheus comes to know of so many predictions.

    More when the machine stalled: a query that is late at one replica is sent to the other.
    """
    eventually(
        lambda: (prometheus.value("sum(clipper_mc_pred_total)") or 0) >= least,
        "every prediction is counted",
    )
