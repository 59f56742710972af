"""The query frontend's container crashes, is killed, paused or cut off, under open-loop load.

Its own connections may break, visibly; a client that sends again sees an answer (design 21).
"""

from __future__ import annotations

import pytest

from clipper.deployers import python as python_deployer
from tests.e2e import models
from tests.e2e.clusters import DockerCluster, eventually
from tests.e2e.traffic import answered_since, check_answers, defaults, load

from .disturbances import DISTURBANCES, crash, kinds

RATE_PER_S = 50.0
SLO_MICROS = 1_500_000


def serve(cluster: DockerCluster) -> None:
    python_deployer.create_endpoint(
        cluster.connection, "app", "doubles", models.doubler(), "DEFAULT",
        slo_micros=SLO_MICROS, num_replicas=2,
    )  # fmt: skip


def check_recovered(cluster: DockerCluster) -> None:
    eventually(lambda: cluster.ready_replicas("app", "1") == 2, "both replicas serve")
    assert cluster.connection.get_linked_models("app") == ["app"]
    for number in range(10):
        assert cluster.predict("app", input=[float(number)])["output"] == 2.0 * number


@pytest.mark.slow
def test_the_frontend_crashes(cluster: DockerCluster) -> None:
    serve(cluster)
    replicas = cluster.pids("model:app:1")
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        crash(cluster.containers("query-frontend")[0])
        answered_since(traffic, 100)

    check_answers(traffic.samples)
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"slo", "no-replica"}
    check_recovered(cluster)
    assert cluster.pids("model:app:1") == replicas, "they dial again, they do not start again"


@pytest.mark.parametrize("kind", kinds(always="killed"))
def test_the_frontend_is_away_for_a_while(cluster: DockerCluster, kind: str) -> None:
    serve(cluster)
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        sent = len(traffic.samples)
        with DISTURBANCES[kind](cluster.containers("query-frontend")[0]):
            eventually(lambda: len(traffic.samples) >= sent + 50, "queries meet nobody")
        answered_since(traffic, 100)

    check_answers(traffic.samples)
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"slo", "no-replica"}
    check_recovered(cluster)
