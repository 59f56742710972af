"""Clusters on a real Docker engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.clusters import DockerCluster, docker_cluster
from tests.stock import StockImages


@pytest.fixture(scope="module")
def shared_cluster(stock_images: StockImages) -> Iterator[DockerCluster]:
    """One cluster on Docker for all tests of a module."""
    with docker_cluster(stock_images, "noop", "python-closure") as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: DockerCluster) -> Iterator[DockerCluster]:
    """The module's cluster, empty before and after the test."""
    shared_cluster.clean()
    yield shared_cluster
    shared_cluster.clean()
