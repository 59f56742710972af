"""Clusters on a real Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.kubernetes_clusters import KubernetesCluster, kubernetes_cluster
from tests.kubernetes_api import KubernetesApi
from tests.stock import StockImages


@pytest.fixture(scope="module")
def shared_cluster(
    kubernetes_api: KubernetesApi, stock_images: StockImages
) -> Iterator[KubernetesCluster]:
    """One cluster without Prometheus for all tests of a module."""
    families = ("noop", "sum", "python-closure")
    with (
        kubernetes_api.namespace() as namespace,
        kubernetes_cluster(
            kubernetes_api, stock_images, *families, namespace=namespace, prometheus_image=None
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def cluster(shared_cluster: KubernetesCluster) -> Iterator[KubernetesCluster]:
    """The module's cluster, empty before and after the test."""
    shared_cluster.clean()
    yield shared_cluster
    shared_cluster.clean()
