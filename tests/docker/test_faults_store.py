"""The store's container crashes, is killed, paused or cut off: nobody who predicts notices."""

from __future__ import annotations

import pytest
import requests

from clipper.deployers import python as python_deployer
from clipper.errors import ClipperException
from tests.e2e import models
from tests.e2e.clusters import DockerCluster, eventually
from tests.e2e.open_loop import OpenLoop
from tests.e2e.traffic import answered_since, broken, check_answers, defaults, load

from .disturbances import DISTURBANCES, crash, kinds

RATE_PER_S = 50.0
SLO_MICROS = 1_500_000
WRITE_LIMIT_S = 60.0


def serve(cluster: DockerCluster) -> None:
    python_deployer.create_endpoint(
        cluster.connection, "app", "doubles", models.doubler(), "DEFAULT",
        slo_micros=SLO_MICROS, num_replicas=2,
    )  # fmt: skip


def registers(cluster: DockerCluster, name: str) -> bool:
    """Tell whether an application is there, or can be registered now."""
    if (
        requests.get(f"http://{cluster.manager.get_admin_addr()}/readyz", timeout=10).status_code
        != 200
    ):
        return False
    try:
        cluster.connection.register_application(name, "doubles", "x", SLO_MICROS)
    except (ClipperException, requests.exceptions.RequestException) as error:
        return "already exists" in str(error)
    return True


def check_unharmed(cluster: DockerCluster, traffic: OpenLoop) -> None:
    check_answers(traffic.samples)
    assert defaults(traffic.samples) == []
    assert broken(traffic.samples) == []
    assert set(cluster.connection.get_all_apps()) == {"app", "later"}
    assert cluster.connection.get_linked_models("app") == ["app"]
    eventually(lambda: cluster.ready_replicas("app", "1") == 2, "both replicas are told as ready")
    assert cluster.predict("later", input=[1.0])["default"] is True


def test_the_store_crashes(cluster: DockerCluster) -> None:
    serve(cluster)
    replicas = cluster.pids("model:app:1")
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        crash(cluster.containers("store")[0])
        eventually(lambda: registers(cluster, "later"), "writes again", WRITE_LIMIT_S)
        answered_since(traffic, 50)

    check_unharmed(cluster, traffic)
    assert cluster.pids("model:app:1") == replicas


@pytest.mark.parametrize("kind", kinds(always="disconnected"))
def test_without_the_store_predictions_go_on(cluster: DockerCluster, kind: str) -> None:
    serve(cluster)
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        with DISTURBANCES[kind](cluster.containers("store")[0]):
            answered_since(traffic, 150)
            with pytest.raises(ClipperException, match=r"store|did not answer|timed out"):
                cluster.connection.register_application("never", "doubles", "x", SLO_MICROS)
            answered_since(traffic, 50)
        eventually(lambda: registers(cluster, "later"), "writes again", WRITE_LIMIT_S)
        answered_since(traffic, 50)

    if "never" in cluster.connection.get_all_apps():  # told as failed, but the store had it
        cluster.connection.unregister_application("never")
    check_unharmed(cluster, traffic)
