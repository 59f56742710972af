"""I2 of the interface spec §12.3: two clusters at once on one engine, with the same names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clipper.deployers import python as python_deployer
from tests.e2e.clusters import DockerCluster, docker_cluster, free_port
from tests.stock import StockImages

APP = "testapp0"
MODEL = "testapp0-model"
SLO_MICROS = 5_000_000


def sum_plus(number: float) -> Any:
    def predict(inputs: Any) -> list[Any]:
        return [float(sum(x)) + number for x in inputs]

    return predict


def serve(cluster: DockerCluster, number: float) -> None:
    connection = cluster.connection
    connection.register_application(APP, "doubles", "default_pred", SLO_MICROS)
    python_deployer.deploy_python_closure(connection, MODEL, 1, "doubles", sum_plus(number))
    connection.link_model_to_app(APP, MODEL)


@pytest.fixture(params=[pytest.param("own networks", marks=pytest.mark.slow), "one network"])
def two(
    request: pytest.FixtureRequest, stock_images: StockImages
) -> Iterator[tuple[DockerCluster, DockerCluster]]:
    """Two clusters that both ask for the same host ports."""
    ports = {
        name: free_port()
        for name in ("clipper_query_port", "clipper_management_port", "clipper_rpc_port")
    }
    with docker_cluster(stock_images, "python-closure", **ports) as first:
        options: dict[str, Any] = dict(ports)
        if request.param == "one network":
            options["docker_network"] = f"net-{first.manager.cluster_name}"
        with docker_cluster(stock_images, **options) as second:
            yield first, second


def test_i2_two_clusters_know_nothing_of_each_other(
    two: tuple[DockerCluster, DockerCluster],
) -> None:
    first, second = two
    addresses = {
        address
        for cluster in two
        for address in (
            cluster.manager.get_query_addr(),
            cluster.manager.get_admin_addr(),
            cluster.manager.get_metric_addr(),
        )
    }
    assert len(addresses) == 6
    serve(first, 0.0)
    serve(second, 100.0)

    for cluster, number in ((first, 0.0), (second, 100.0)):
        answer = cluster.predict(APP, input=[1.0, 2.0])
        assert (answer["default"], answer["output"]) == (False, 3.0 + number)
        assert cluster.connection.get_num_replicas(MODEL, 1) == 1
        assert len(cluster.containers(f"model:{MODEL}:1")) == 1

    second.connection.stop_all()
    assert first.predict(APP, input=[2.0, 2.0])["output"] == 4.0
    assert first.connection.get_all_apps() == [APP]
