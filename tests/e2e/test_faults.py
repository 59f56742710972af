"""Processes killed, models misbehaving, under open-loop load: what the application sees."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
import requests

from clipper.admin.connection import ClipperConnection
from clipper.deployers import python as python_deployer
from clipper.errors import ClipperException
from clipper.managers.local import LocalContainerManager
from tests.e2e.clusters import Cluster, eventually, local_cluster

from . import models
from .traffic import answered_since, check_answers, defaults, load

SLO_MICROS = 1_000_000
"""Longer than this machine stops for other reasons, shorter than a container takes to start."""


def serve(cluster: Cluster, func: models.Predict, replicas: int = 1, slo: int = SLO_MICROS) -> str:
    """Create the endpoint ``app`` on ``func`` and return its name."""
    python_deployer.create_endpoint(
        cluster.connection, "app", "doubles", func,
        default_output="DEFAULT", slo_micros=slo, num_replicas=replicas,
    )  # fmt: skip
    return "app"


def kill(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_one_replica_of_two_is_killed(cluster: Cluster) -> None:
    serve(cluster, models.doubler(), replicas=2)
    kills = 3
    with load(cluster) as traffic:
        for _ in range(kills):
            answered_since(traffic, 50)
            victim = cluster.pids("model:app:1")[0]
            kill([victim])
            eventually(
                lambda victim=victim: (
                    victim not in cluster.pids("model:app:1")
                    and cluster.ready_replicas("app", "1") == 2
                ),
                "the killed replica is back",
            )
        answered_since(traffic, 50)

    check_answers(traffic.samples)
    missed = defaults(traffic.samples)
    assert {sample.reason for sample in missed} <= {"slo"}
    # A batch at this load holds a handful of queries; nobody else may notice the kill.
    largest_batch = 16
    assert len(missed) <= kills * largest_batch
    assert not any(sample.broken for sample in traffic.samples)


def test_the_store_is_killed(cluster: Cluster) -> None:
    serve(cluster, models.doubler(), replicas=2)
    with load(cluster) as traffic:
        answered_since(traffic, 50)
        replicas = cluster.pids("model:app:1")
        kill(cluster.pids("store"))
        answered_since(traffic, 300)
        eventually(lambda: _registers(cluster, "later"), "the store takes writes again")
        answered_since(traffic, 50)
        assert cluster.pids("model:app:1") == replicas

    check_answers(traffic.samples)
    assert defaults(traffic.samples) == []
    assert cluster.predict("later", input=[1.0])["default"] is True
    assert cluster.ready_replicas("app", "1") == 2
    assert set(cluster.connection.get_all_apps()) == {"app", "later"}


def _registers(cluster: Cluster, name: str) -> bool:
    if (
        requests.get(f"http://{cluster.manager.get_admin_addr()}/readyz", timeout=5).status_code
        != 200
    ):
        return False
    try:
        cluster.connection.register_application(name, "doubles", "x", SLO_MICROS)
    except ClipperException as error:
        return "already exists" in error.msg
    return True


def worker_pids(cluster: Cluster) -> list[int]:
    """Return the frontend's worker processes; none while their supervisor is being replaced."""
    try:
        return [
            child.pid
            for supervisor in cluster.pids("query-frontend")
            for child in psutil.Process(supervisor).children()
        ]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.parametrize("victim", ["worker", "supervisor"])
def test_the_query_frontend_is_killed(cluster: Cluster, victim: str) -> None:
    serve(cluster, models.doubler(), replicas=2)
    with load(cluster) as traffic:
        answered_since(traffic, 50)
        before = worker_pids(cluster)
        kill(before if victim == "worker" else cluster.pids("query-frontend"))
        eventually(
            lambda: (
                cluster.pids("query-frontend")
                and worker_pids(cluster)
                and not set(worker_pids(cluster)) & set(before)
            ),
            "a new worker",
        )
        answered_since(traffic, 100)

    check_answers(traffic.samples)
    missed = defaults(traffic.samples)
    # Queries that had to be sent again came in one burst, some before a replica had dialled.
    assert {sample.reason for sample in missed} <= {"no-replica", "slo"}
    assert cluster.connection.get_linked_models("app") == ["app"]
    assert cluster.predict("app", input=[4.0])["output"] == 8.0


def test_an_input_that_crashes_the_container(cluster: Cluster) -> None:
    serve(cluster, models.crasher(), replicas=2, slo=60_000_000)
    with load(cluster, rate_per_s=40.0) as traffic:
        answered_since(traffic, 20)
        poisoned = cluster.predict("app", input=[-1.0])
        eventually(lambda: cluster.ready_replicas("app", "1") == 2, "both replicas are back")
        answered_since(traffic, 20)

    assert poisoned["default"] is True
    assert poisoned["output"] == "DEFAULT"
    assert poisoned["default_explanation"].startswith("The model failed on this input")
    check_answers(traffic.samples)
    # While both replicas are down at once, queries that arrive have no replica to go to.
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"no-replica"}


def test_an_input_that_raises_spares_its_batch(cluster: Cluster) -> None:
    serve(cluster, models.raiser())
    batch = [[float(number)] for number in range(-1, 20)]

    answers = cluster.predict("app", input_batch=batch)["batch_predictions"]

    assert answers[0]["default"] is True
    assert "ValueError: negative input" in answers[0]["default_explanation"]
    assert [answer["output"] for answer in answers[1:]] == [2.0 * n for n in range(20)]


def test_a_model_slows_past_the_slo_and_recovers(cluster: Cluster, tmp_path: Path) -> None:
    slow = tmp_path / "seconds"
    serve(cluster, models.slowed_by(str(slow)), slo=200_000)
    with load(cluster, rate_per_s=50.0) as traffic:
        answered_since(traffic, 50)
        slow.write_text("0.4")
        start = len(traffic.samples)
        eventually(
            lambda: sum(1 for sample in traffic.samples[start:] if sample.defaulted) >= 50,
            "defaults while the model is slow",
        )
        slow.unlink()
        answered_since(traffic, 100)
        recovered = len(traffic.samples)
        answered_since(traffic, 100)

    check_answers(traffic.samples)
    assert {sample.reason for sample in defaults(traffic.samples)} == {"slo"}
    assert len(defaults(traffic.samples[recovered:])) <= 5


def test_a_second_cluster_on_the_same_ports_fails_and_harms_nobody(
    cluster: Cluster, tmp_path: Path
) -> None:
    serve(cluster, models.doubler())
    taken = int(cluster.connection.get_query_addr().rpartition(":")[2])
    second = ClipperConnection(
        LocalContainerManager(
            "second", state_dir=str(tmp_path / "second"), clipper_query_port=taken,
            clipper_management_port=0, clipper_rpc_port=0,
        )
    )  # fmt: skip
    try:
        with pytest.raises(ClipperException, match=str(taken)):
            second.start_clipper()
    finally:
        second.stop_all()

    assert cluster.predict("app", input=[3.0])["output"] == 6.0


def test_register_link_and_predict_in_one_breath(cluster: Cluster) -> None:
    python_deployer.deploy_python_closure(cluster.connection, "m", 1, "doubles", models.doubler())
    for number in range(20):
        name = f"app{number}"
        cluster.connection.register_application(name, "doubles", "x", SLO_MICROS)
        cluster.connection.link_model_to_app(name, "m")
        assert cluster.predict(name, input=[float(number)])["output"] == 2.0 * number
        cluster.connection.unregister_application(name)
        assert cluster.post(name, input=[1.0]).status_code == 404


def test_deployment_scale_down_and_rollback_under_traffic_lose_nothing(cluster: Cluster) -> None:
    connection = cluster.connection
    connection.register_application("app", "doubles", "DEFAULT", SLO_MICROS)
    python_deployer.deploy_python_closure(connection, "m", 1, "doubles", models.tagged("one"))
    connection.link_model_to_app("app", "m")
    with load(cluster) as traffic:
        answered_since(traffic, 30)
        python_deployer.deploy_python_closure(
            connection, "m", 2, "doubles", models.tagged("two"), num_replicas=2
        )
        switched = len(traffic.samples)
        answered_since(traffic, 30)
        connection.set_num_replicas("m", 1, 2)
        answered_since(traffic, 30)
        leaving = len(traffic.samples)
        connection.set_model_version("m", "1")
        back = len(traffic.samples)
        answered_since(traffic, 30)
        connection.stop_inactive_model_versions(["m"])
        answered_since(traffic, 30)

    assert all(sample.answered for sample in traffic.samples), defaults(traffic.samples)
    assert not any(sample.broken for sample in traffic.samples)
    tags = [sample.body["output"].split("/")[0] for sample in traffic.samples]
    numbers = [float(sample.body["output"].split("/")[1]) for sample in traffic.samples]
    assert numbers == [float(sample.number) for sample in traffic.samples]
    assert set(tags[switched:leaving]) == {"two"}
    assert set(tags[back:]) == {"one"}


def test_three_workers_share_one_replica(tmp_path: Path) -> None:
    with local_cluster(tmp_path, workers=3) as cluster:
        serve(cluster, models.doubler(0.002))
        (replica,) = cluster.connection.get_all_model_replicas(verbose=True)
        assert len(replica["workers"]) == 3
        # The kernel spreads connections over the workers, so each query gets a new one.
        with load(cluster, rate_per_s=200.0, keep_alive=False) as traffic:
            answered_since(traffic, 600)
        check_answers(traffic.samples)
        assert len(defaults(traffic.samples)) <= len(traffic.samples) // 100
        ids = [sample.body["query_id"] for sample in traffic.samples]
        assert len(set(ids)) == len(ids)
        assert len({query_id >> 32 for query_id in ids}) == 3, "every worker had its share"
