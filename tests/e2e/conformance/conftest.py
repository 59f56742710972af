"""The conformance suite runs unchanged against every container manager."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.clusters import Cluster, docker_cluster, local_cluster
from tests.e2e.kubernetes_clusters import kubernetes_cluster
from tests.kubernetes_api import KubernetesApi

_FAMILIES = ("noop", "sum", "python-closure")


@pytest.fixture(
    scope="module",
    params=[
        "local",
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("kubernetes", marks=pytest.mark.kubernetes),
    ],
)
def shared_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """One cluster of the manager for all tests of a module."""
    if request.param == "local":
        with local_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
            yield cluster
        return
    images = request.getfixturevalue("stock_images")
    if request.param == "docker":
        with docker_cluster(images, *_FAMILIES) as cluster:
            yield cluster
        return
    api: KubernetesApi = request.getfixturevalue("kubernetes_api")
    with (
        api.namespace() as namespace,
        kubernetes_cluster(api, images, *_FAMILIES, namespace=namespace) as cluster,
    ):
        yield cluster
