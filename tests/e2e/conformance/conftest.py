"""The conformance suite runs unchanged against every container manager."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.clusters import Cluster, docker_cluster, local_cluster


@pytest.fixture(scope="module", params=["local", pytest.param("docker", marks=pytest.mark.docker)])
def shared_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """One cluster of the manager for all tests of a module."""
    if request.param == "local":
        with local_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
            yield cluster
    else:
        images = request.getfixturevalue("stock_images")
        with docker_cluster(images, "noop", "sum", "python-closure") as cluster:
            yield cluster
