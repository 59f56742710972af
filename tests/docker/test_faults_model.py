"""Model containers that crash, are killed, paused or cut off, under open-loop load."""

from __future__ import annotations

import pytest

from clipper.deployers import python as python_deployer
from tests.e2e import models
from tests.e2e.clusters import DockerCluster, eventually
from tests.e2e.traffic import answered_since, broken, check_answers, defaults, load

from .disturbances import DISTURBANCES, crash, kinds

RATE_PER_S = 50.0
SLO_MICROS = 1_500_000
"""Longer than the machine stops for other reasons."""

MODEL = "model:app:1"


def serve(cluster: DockerCluster, replicas: int) -> None:
    python_deployer.create_endpoint(
        cluster.connection, "app", "doubles", models.doubler(), "DEFAULT",
        slo_micros=SLO_MICROS, num_replicas=replicas,
    )  # fmt: skip


@pytest.mark.slow
def test_one_crash_of_two_is_hardly_noticed(cluster: DockerCluster) -> None:
    serve(cluster, replicas=2)
    crashes = 2
    with load(cluster, RATE_PER_S) as traffic:
        for number in range(crashes):
            answered_since(traffic, 30)
            crash(cluster.containers(MODEL)[number])
            eventually(lambda: cluster.ready_replicas("app", "1") == 2, "the replica is back")
        answered_since(traffic, 30)

    check_answers(traffic.samples)
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"slo"}
    # What the dead one was computing, and nothing else: a batch holds a handful at this load.
    assert len(defaults(traffic.samples)) <= crashes * 16
    assert broken(traffic.samples) == []


@pytest.mark.slow
def test_the_only_replica_crashes_and_is_back_without_hands(cluster: DockerCluster) -> None:
    serve(cluster, replicas=1)
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        crash(cluster.containers(MODEL)[0])
        answered_since(traffic, 60)

    check_answers(traffic.samples)
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"slo", "no-replica"}
    assert broken(traffic.samples) == []
    assert cluster.ready_replicas("app", "1") == 1


@pytest.mark.parametrize("kind", kinds(always="paused"))
def test_the_other_replica_serves_meanwhile(cluster: DockerCluster, kind: str) -> None:
    serve(cluster, replicas=2)
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        with DISTURBANCES[kind](cluster.containers(MODEL)[0]):
            answered_since(traffic, 100)
            settled = len(traffic.samples)
            answered_since(traffic, 100)
            back = len(traffic.samples)
        eventually(lambda: cluster.ready_replicas("app", "1") == 2, "both replicas serve")
        answered_since(traffic, 50)

    check_answers(traffic.samples)
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"slo"}
    assert len(defaults(traffic.samples[:settled])) <= 32
    assert len(defaults(traffic.samples[settled:back])) <= 2
    assert broken(traffic.samples) == []


@pytest.mark.parametrize("kind", kinds(always="disconnected"))
def test_without_the_only_replica_defaults_say_why(cluster: DockerCluster, kind: str) -> None:
    serve(cluster, replicas=1)
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        with DISTURBANCES[kind](cluster.containers(MODEL)[0]):
            start = len(traffic.samples)
            eventually(
                lambda: len(defaults(traffic.samples[start:])) >= 50, "defaults while it is away"
            )
        answered_since(traffic, 100)
        recovered = len(traffic.samples)
        answered_since(traffic, 50)

    check_answers(traffic.samples)
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"slo", "no-replica"}
    assert len(defaults(traffic.samples[recovered:])) <= 2
    assert broken(traffic.samples) == []
