"""I5 of the interface spec §12.3, and two clusters in one namespace: all with the same names."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Iterator

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import eventually
from tests.e2e.kubernetes_clusters import KubernetesCluster, kubernetes_manager
from tests.e2e.open_loop import OpenLoop
from tests.kubernetes.external_store import PASSWORD, external_store
from tests.kubernetes_api import KubernetesApi
from tests.stock import StockImages

APP, MODEL = "testapp0", "testapp0-model"
RATE_PER_S = 20.0
SLO_MICROS = 5_000_000
SUM, ONE = stock_image("sum-container"), stock_image("noop-container")


@pytest.fixture(scope="module")
def three(
    kubernetes_api: KubernetesApi, stock_images: StockImages
) -> Iterator[list[KubernetesCluster]]:
    """Clusters of one name in two namespaces, the second on a Redis that was given; and another.

    The third is in the first's namespace.
    """
    stock_images.need("frontend", "noop", "sum")
    api = kubernetes_api
    with api.namespace() as one, api.namespace() as two:
        managers = [
            kubernetes_manager(api, one, "same", prometheus_image=None),
            kubernetes_manager(
                api, two, "same", prometheus_image=None, redis_url=external_store(api, two)
            ),
            kubernetes_manager(api, one, "same-too", prometheus_image=None),
        ]
        clusters = [
            KubernetesCluster(ClipperConnection(manager), manager, api) for manager in managers
        ]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            try:
                list(pool.map(serve, clusters, [SUM, ONE, ONE]))
                yield clusters
            finally:
                list(pool.map(lambda one: one.connection.stop_all(graceful=False), clusters))


def serve(cluster: KubernetesCluster, image: str) -> None:
    connection = cluster.connection
    connection.start_clipper()
    connection.register_application(APP, "doubles", "default_pred", SLO_MICROS)
    connection.deploy_model(MODEL, 1, "doubles", image)
    connection.link_model_to_app(APP, MODEL)


def objects(cluster: KubernetesCluster) -> dict[tuple[str, str], str]:
    """Return kind and name → uid of what a cluster has."""
    inventory = cluster.manager._inventory
    kinds = [*inventory._owned_kinds(), ("apps/v1", "StatefulSet"), ("v1", "Pod")]
    return {
        (kind, one["metadata"]["name"]): one["metadata"]["uid"]
        for version, kind in kinds
        for one in inventory.of_kind(version, kind)
    }


def test_i5_clusters_with_the_same_names_know_nothing_of_each_other(
    three: list[KubernetesCluster],
) -> None:
    assert len({cluster.connection.get_query_addr() for cluster in three}) == 3
    for cluster, expected in zip(three, (3.0, 1.0, 1.0), strict=True):
        answer = cluster.predict(APP, input=[1.0, 2.0])
        assert (answer["default"], answer["output"]) == (False, expected)
        assert cluster.connection.get_num_replicas(MODEL, 1) == 1
        assert cluster.ready_replicas(MODEL, "1") == 1
    # In the same test: tests of a module come in any order, and this one leaves a cluster fewer.
    first, _, last = three
    stops_alone(stays=first, goes=last)


def test_a_redis_that_was_given_is_used_and_its_password_is_in_the_secret_alone(
    three: list[KubernetesCluster],
) -> None:
    _, cluster, _ = three
    assert cluster.pods("store") == []
    assert cluster.predict(APP, input=[1.0, 2.0])["default"] is False
    inventory = cluster.manager._inventory
    for version, kind in [*inventory._owned_kinds(), ("apps/v1", "StatefulSet"), ("v1", "Pod")]:
        for one in inventory.of_kind(version, kind):
            assert PASSWORD not in json.dumps(one), one["metadata"]["name"]


def stops_alone(stays: KubernetesCluster, goes: KubernetesCluster) -> None:
    """Stop one cluster while another of the same names answers queries."""
    before = objects(stays)
    with OpenLoop(
        stays.connection.get_query_addr(), APP, RATE_PER_S, lambda number: [float(number), 1.0]
    ) as load:
        eventually(lambda: load.finished() > RATE_PER_S, "queries are answered")
        goes.connection.stop_all()
        done = load.finished()
        eventually(lambda: load.finished() > done + RATE_PER_S, "queries are still answered")

    for sample in load.samples:
        assert (sample.broken, sample.body.get("output")) == (0, sample.number + 1.0), sample
    assert objects(stays) == before
    eventually(lambda: left(goes) == {"clipper-models-at-same-too"}, "the other is gone")
    assert stays.connection.get_all_apps() == [APP]


def left(cluster: KubernetesCluster) -> set[str]:
    return {name for _, name in objects(cluster)}
