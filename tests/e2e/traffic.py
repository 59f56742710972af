"""Load on the application ``app`` whose model doubles, and what must hold of every answer."""

from __future__ import annotations

from tests.e2e.clusters import Cluster, eventually

from .open_loop import OpenLoop, Sample


def load(
    cluster: Cluster, rate_per_s: float = 150.0, keep_alive: bool = True, timeout_s: float = 10.0
) -> OpenLoop:
    """Distinct inputs on schedule; each must be answered with its own double."""
    return OpenLoop(
        cluster.connection.get_query_addr(),
        "app",
        rate_per_s,
        lambda number: [float(number), 1.0],
        timeout_s=timeout_s,
        keep_alive=keep_alive,
    )


def check_answers(samples: list[Sample]) -> None:
    """Every answer is the right one for its own input, and every default carries its reason."""
    for sample in samples:
        assert sample.status == 200, sample
        if sample.answered:
            assert sample.body["output"] == 2.0 * sample.number, sample
        else:
            assert sample.reason, sample
            assert sample.body["default_explanation"], sample
            assert sample.body["output"] == "DEFAULT"


def broken(samples: list[Sample]) -> list[Sample]:
    """Return the queries whose connection broke, even if a second attempt was answered."""
    return [sample for sample in samples if sample.broken]


def defaults(samples: list[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.defaulted]


def told(samples: list[Sample]) -> str:
    """Return what became of the queries, in one line."""
    latencies = sorted(sample.latency_s for sample in samples)
    return (
        f"{len(samples)} queries: {len(defaults(samples))} defaults, "
        f"{len(broken(samples))} sent again, slowest {latencies[-1]:.2f} s"
    )


def answered_since(load_: OpenLoop, count: int) -> bool:
    """Whether ``count`` queries that were sent from now on have been answered."""
    start = len(load_.samples)
    return bool(
        eventually(
            lambda: sum(1 for sample in load_.samples[start:] if sample.answered) >= count,
            f"{count} more answers",
        )
    )
