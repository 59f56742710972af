"""What the components report, as one worker's metrics."""

from __future__ import annotations

from typing import Any

from clipper.cache.prediction_cache import PredictionCache
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


def shown(metrics: FrontendMetrics, family: str) -> dict[tuple[str, ...], float]:
    families: Any = metrics.snapshot()["families"]
    children = families[family]["children"] if family in families else ()
    return {tuple(labels): value for labels, value in children}


def read_gauges(observer: WorkerObserver, bench: Bench) -> None:
    for _ in observer.read_gauges(PredictionCache(1000), bench.fleet):
        pass


def test_objectives_and_links_follow_the_configuration() -> None:
    bench = Bench()
    metrics = FrontendMetrics(bench.clock.now, "test")
    observer = WorkerObserver(metrics, bench.applications)
    bench.configure([bench.app_record(slo_ms=50)], links={"app": ("m", "other")})
    read_gauges(observer, bench)
    assert shown(metrics, "clipper_slo_seconds") == {("app",): 0.05}
    assert shown(metrics, "clipper_links") == {("app", "m"): 1, ("app", "other"): 1}

    bench.configure(links={"app": ("other",)})
    read_gauges(observer, bench)
    assert shown(metrics, "clipper_links") == {("app", "other"): 1}

    bench.configure(delete_apps=["app"])
    observer.application_removed("app")
    read_gauges(observer, bench)
    assert shown_apps(metrics) == set()


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
