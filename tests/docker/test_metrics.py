"""The cluster's own Prometheus: whom it scrapes, and what it knows (I6 of spec §12.3)."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from clipper.deployers.python import deploy_python_closure
from clipper.managers.labels import MODEL_LABEL
from tests.e2e.clusters import DockerCluster, docker_cluster, eventually
from tests.e2e.scraped import all_counted, all_up, prometheus_of, two_series_each
from tests.prometheus import Prometheus
from tests.stock import StockImages

_INPUT = [float(number) for number in range(200)]


def _sum(inputs: Any) -> list[Any]:
    return [float(x.sum()) for x in inputs]


def _measured(inputs: Any) -> list[Any]:
    from clipper_admin import metrics

    metrics.add_metric("my_inputs", "Counter", "Inputs")
    metrics.add_metric("my_sum", "Histogram", "Sums", [10, 100])
    for x in inputs:
        metrics.report_metric("my_inputs", 1)
        metrics.report_metric("my_sum", float(x.sum()))
    return [float(x.sum()) for x in inputs]


@pytest.fixture
def prometheus(cluster: DockerCluster) -> Prometheus:
    return prometheus_of(cluster)


def _deploy(cluster: DockerCluster, function: Any, replicas: int) -> None:
    connection = cluster.connection
    connection.register_application("app", "doubles", "DEFAULT", 10_000_000)
    deploy_python_closure(connection, "m", "1", "doubles", function, num_replicas=replicas)
    connection.link_model_to_app("app", "m")
    eventually(lambda: cluster.ready_replicas("m", "1") == replicas, "all replicas serve")


def test_i6_frontend_and_replicas_are_scraped_and_counted(stock_images: StockImages) -> None:
    """On a cluster of its own, whose Prometheus remembers nothing else."""
    with docker_cluster(stock_images, "python-closure") as cluster:
        prometheus = prometheus_of(cluster)
        _deploy(cluster, _sum, replicas=2)
        for shift in range(100):
            shifted = [number + shift for number in _INPUT]
            assert cluster.predict("app", input=shifted)["output"] == sum(shifted)
        all_up(prometheus, 3)
        two_series_each(prometheus)
        all_counted(prometheus, least=100)


@pytest.mark.slow
def test_a_replica_that_was_stopped_is_no_target_any_more(
    cluster: DockerCluster, prometheus: Prometheus
) -> None:
    _deploy(cluster, _sum, replicas=2)
    all_up(prometheus, 3)
    cluster.connection.set_num_replicas("m", 1, "1")
    all_up(prometheus, 2)
    cluster.connection.set_num_replicas("m", 3, "1")
    all_up(prometheus, 4)
    cluster.connection.stop_models("m")
    all_up(prometheus, 1)
    [frontend] = prometheus.targets()
    assert frontend.startswith("query_frontend-")
    assert frontend.endswith(":1337")


@pytest.mark.slow
def test_the_targets_are_the_containers_that_run(
    cluster: DockerCluster, prometheus: Prometheus
) -> None:
    _deploy(cluster, _sum, replicas=2)
    all_up(prometheus, 3)
    running = cluster.containers("model:m:1")
    assert {container.labels[MODEL_LABEL] for container in running} == {"m_1"}
    names = {f"{container.name}:1390" for container in running}
    assert names <= set(prometheus.targets())


@pytest.mark.slow
def test_metrics_of_the_users_own_code(cluster: DockerCluster, prometheus: Prometheus) -> None:
    """Old scripts' `clipper_admin.metrics`, called inside the function (spec §11.4)."""
    _deploy(cluster, _measured, replicas=1)
    for number in (5.0, 50.0, 500.0):
        assert cluster.predict("app", input=[number])["output"] == number
    eventually(lambda: prometheus.value("my_inputs_total") == 3, "the counter is in Prometheus")
    eventually(lambda: prometheus.value("my_sum_sum") == 555, "the histogram is in Prometheus")
    assert prometheus.value('my_sum_bucket{le="10.0"}') == 1
    assert prometheus.value('my_sum_bucket{le="100.0"}') == 2
    [series] = prometheus.series("my_inputs_total")
    assert (series["model_name"], series["model_version"]) == ("m", "1")


@pytest.mark.slow
def test_scraping_under_load_disturbs_no_query(
    cluster: DockerCluster, prometheus: Prometheus
) -> None:
    _deploy(cluster, _sum, replicas=1)
    stop, wrong = threading.Event(), []

    def ask() -> None:
        number = 0.0
        while not stop.is_set():
            number += 1
            answer = cluster.predict("app", input=[number])
            if answer["output"] != number:
                wrong.append(answer)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        eventually(
            lambda: len(prometheus.query("rate(clipper_predictions_total[20s]) > 0")) == 1,
            "the rate of queries is known",
            timeout_s=60,
        )
    finally:
        stop.set()
        thread.join(30)
    assert wrong == []
