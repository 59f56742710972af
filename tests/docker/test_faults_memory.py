"""An input for which a model needs more memory than its container may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clipper.deployers import python as python_deployer
from clipper.errors import ClipperException
from tests.e2e.clusters import DockerCluster, docker_cluster, eventually
from tests.e2e.traffic import answered_since, broken, check_answers, defaults, load
from tests.stock import StockImages

LIMIT_MIB = 400
SLO_MICROS = 60_000_000
"""Longer than two starts of a container, so that every other query waits for its answer."""


def hungry(inputs: Any) -> list[Any]:
    """Double, but take 2 GiB for a negative number."""
    if any(x[0] < 0 for x in inputs):
        taken = bytearray(2 * 2**30)
        taken[::4096] = b"x" * len(taken[::4096])
    return [float(x[0]) * 2 for x in inputs]


@pytest.fixture(scope="module")
def shared_cluster(stock_images: StockImages) -> Iterator[DockerCluster]:
    limits = {"mem_limit": f"{LIMIT_MIB}m", "memswap_limit": f"{LIMIT_MIB}m"}
    with docker_cluster(stock_images, "python-closure", extra_container_kwargs=limits) as cluster:
        yield cluster


def restarts(cluster: DockerCluster) -> int:
    return sum(int(c.attrs["RestartCount"]) for c in cluster.containers("model:app:1"))


@pytest.mark.slow
def test_a_poisonous_input_costs_no_other_query(cluster: DockerCluster) -> None:
    python_deployer.create_endpoint(
        cluster.connection, "app", "doubles", hungry, "DEFAULT",
        slo_micros=SLO_MICROS, num_replicas=2,
    )  # fmt: skip
    for container in cluster.containers("model:app:1"):
        assert container.attrs["HostConfig"]["Memory"] == LIMIT_MIB * 2**20
    with load(cluster, 30.0, timeout_s=90.0) as traffic:
        answered_since(traffic, 20)
        poisoned = cluster.predict("app", timeout_s=90.0, input=[-1.0])
        assert restarts(cluster) >= 1, "the kernel ended it"
        eventually(lambda: cluster.ready_replicas("app", "1") == 2, "both replicas are back", 60)
        answered_since(traffic, 20)

    assert (poisoned["default"], poisoned["output"]) == (True, "DEFAULT")
    assert poisoned["default_explanation"].startswith("The model failed on this input")
    check_answers(traffic.samples)
    # While both replicas are down at once, queries that arrive have no replica to go to.
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"no-replica"}
    assert broken(traffic.samples) == []


def test_a_model_that_is_too_large_is_told_as_such(cluster: DockerCluster) -> None:
    class Weights:
        def __getstate__(self) -> int:
            return 2 * 2**30

        def __setstate__(self, size: int) -> None:
            self.bytes = b"x" * size

    weights = Weights()

    def heavy(inputs: Any) -> list[Any]:
        return [float(len(weights.bytes)) for _ in inputs]

    with pytest.raises(
        ClipperException, match=f"needed more memory than its limit of {LIMIT_MIB} MiB"
    ):
        python_deployer.deploy_python_closure(cluster.connection, "m", 1, "doubles", heavy)
    assert cluster.connection.get_all_models() == []
    assert cluster.containers("model:m:1", stopped=True) == []
