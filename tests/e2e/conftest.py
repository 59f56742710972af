"""Clusters for the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .clusters import Cluster, local_cluster


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One local cluster for all tests of a module."""
    with local_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The module's cluster, empty before and after the test."""
    shared_cluster.clean()
    yield shared_cluster
    shared_cluster.clean()
