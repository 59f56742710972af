"""The cluster's own Prometheus: whom it scrapes, and what it knows (I7 of spec §12.3)."""

from __future__ import annotations

from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import eventually
from tests.e2e.kubernetes_clusters import kubernetes_cluster
from tests.e2e.scraped import all_counted, all_up, prometheus_of, two_series_each
from tests.kubernetes_api import KubernetesApi
from tests.stock import StockImages

PREDICTIONS = 100


def test_i7_frontend_and_replicas_are_scraped_and_counted(
    kubernetes_api: KubernetesApi, kubernetes_namespace: str, stock_images: StockImages
) -> None:
    with kubernetes_cluster(
        kubernetes_api, stock_images, "noop", namespace=kubernetes_namespace
    ) as cluster:
        connection = cluster.connection
        connection.register_application("app", "doubles", "DEFAULT", 10_000_000)
        connection.deploy_model("m", 1, "doubles", stock_image("noop-container"), num_replicas=2)
        connection.link_model_to_app("app", "m")
        eventually(lambda: cluster.ready_replicas("m", "1") == 2, "both replicas serve")
        for number in range(PREDICTIONS):
            assert cluster.predict("app", input=[float(number)] * 200)["output"] == 1.0

        prometheus = prometheus_of(cluster)
        all_up(prometheus, 3)
        two_series_each(prometheus)
        all_counted(prometheus, least=PREDICTIONS)
        pods = [*cluster.pods("query-frontend"), *cluster.pods("model:m:1")]
        addresses = {target.rpartition(":")[0] for target in prometheus.targets()}
        assert addresses == {pod.status.pod_ip for pod in pods}
