"""What the components report, as one worker's metrics."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from clipper.cache.prediction_cache import PredictionCache
from clipper.datatypes import VersionedModelId
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


def test_an_application_that_is_registered_again_is_shown_again() -> None:
    bench = Bench()
    metrics = FrontendMetrics(bench.clock.now, "test")
    observer = WorkerObserver(metrics, bench.applications)
    for _ in range(2):
        bench.configure([bench.app_record(slo_ms=50)], links={"app": ("m",)})
        read_gauges(observer, bench)
        assert shown(metrics, "clipper_slo_seconds") == {("app",): 0.05}
        assert shown(metrics, "clipper_links") == {("app", "m"): 1}
        # Between two readings: nobody has seen the table without the application.
        bench.configure(delete_apps=["app"])
        observer.application_removed("app")
        assert shown_apps(metrics) == set()


def test_models_are_read_few_at_a_time_and_a_removed_one_does_not_come_back() -> None:
    bench = Bench()
    bench.configure(models=[bench.model_record(str(number)) for number in range(35)])
    metrics = FrontendMetrics(bench.clock.now, "test")
    observer = WorkerObserver(metrics, bench.applications)
    gone = VersionedModelId("m", "34")
    counts = [0]
    for _ in observer.read_gauges(PredictionCache(1000), bench.fleet):
        counts.append(len(shown(metrics, "clipper_queue_length")))
        if len(counts) == 2:
            bench.configure(delete_models=[gone])
            observer.model_removed(gone)
    assert max(after - before for before, after in pairwise(counts)) <= 10
    assert ("m", "34") not in shown(metrics, "clipper_queue_length")
    assert len(shown(metrics, "clipper_queue_length")) == 34


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
