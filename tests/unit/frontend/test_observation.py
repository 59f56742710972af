"""What the components report, as one worker's metrics."""

from __future__ import annotations

from typing import Any

from clipper.frontend.observation import WorkerObserver
from clipper.metrics import FrontendMetrics
from tests.unit.query.support import Bench


def shown_apps(metrics: FrontendMetrics) -> set[str]:
    families: Any = metrics.snapshot()["families"]
    return {
        labels[family["labels"].index("app")]
        for family in families.values()
        if "app" in family["labels"]
        for labels, _ in family["children"]
    }


def test_a_query_that_outlives_its_application_brings_no_metric_back() -> None:
    bench = Bench()
    bench.serve()
    metrics = FrontendMetrics(bench.clock.now, "test")
    observer = WorkerObserver(metrics, bench.applications)
    [early, late] = [bench.ask(data).queries[0] for data in (b"x", b"y")]
    observer.query_finished(early, 0.01)
    assert shown_apps(metrics) == {"app"}

    bench.configure(delete_apps=["app"])
    observer.application_removed("app")
    observer.query_finished(late, 0.01)
    assert shown_apps(metrics) == set()
