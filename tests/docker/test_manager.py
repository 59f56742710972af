"""One cluster on a Docker engine: what runs, what is found again, what scaling leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.errors import ClipperException
from clipper.managers.docker import DockerContainerManager
from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import DockerCluster, eventually

NOOP = stock_image("noop-container")
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.docker


def serve(cluster: DockerCluster, replicas: int = 1) -> None:
    cluster.connection.register_application("app", "doubles", "default", 5_000_000)
    cluster.connection.deploy_model("m", "1", "doubles", NOOP, num_replicas=replicas)
    cluster.connection.link_model_to_app("app", "m")


def of_cluster(cluster: DockerCluster) -> list[Any]:
    label = f"ai.clipper.container.label={cluster.manager.cluster_name}"
    return cluster.client.containers.list(
        all=True, filters={"label": label}, ignore_removed=True
    )  # fmt: skip


def test_from_nothing_to_an_answer(cluster: DockerCluster) -> None:
    serve(cluster)
    answer = cluster.predict("app", input=[1.0, 2.0])
    assert (answer["output"], answer["default"]) == (1.0, False)


def test_names_and_ports_are_those_of_the_specification(cluster: DockerCluster) -> None:
    serve(cluster)
    found = {one.labels["ai.clipper.name"]: one for one in of_cluster(cluster)}
    prefixes = {role: one.name.rpartition("-")[0] for role, one in found.items()}
    assert prefixes == {
        "redis": "redis",
        "mgmt-frontend": "mgmt_frontend",
        "query-frontend": "query_frontend",
        "metrics": "metric_frontend",
        "model": "m_1",
    }
    query = found["query-frontend"]
    published = query.attrs["NetworkSettings"]["Ports"]["1337/tcp"]
    assert published == [
        {"HostIp": "127.0.0.1", "HostPort": query.labels["ai.clipper.query_frontend.query.port"]}
    ]
    assert cluster.connection.get_query_addr() == f"localhost:{published[0]['HostPort']}"
    policies = {one.attrs["HostConfig"]["RestartPolicy"]["Name"] for one in found.values()}
    assert policies == {"unless-stopped"}


def test_no_secret_stands_on_a_command_line(cluster: DockerCluster) -> None:
    (store,) = cluster.containers("store")
    variables = dict(entry.split("=", 1) for entry in store.attrs["Config"]["Env"])
    password = variables["CLIPPER_REDIS_PASSWORD"]
    for container in of_cluster(cluster):
        assert password not in json.dumps(container.attrs["Args"])
    code, output = store.exec_run(
        ["python", "-c", "import socket; s = socket.create_connection(('127.0.0.1', 6379)); "
         r"s.sendall(b'KEYS *\r\n'); print(s.recv(99))"]
    )  # fmt: skip
    assert code == 0
    assert b"NOAUTH" in output


@pytest.mark.slow
def test_scaling_leaves_no_stopped_containers(cluster: DockerCluster) -> None:
    serve(cluster)
    cluster.connection.set_num_replicas("m", 3)
    assert cluster.connection.get_num_replicas("m") == 3
    assert cluster.ready_replicas("m", "1") == 3
    cluster.connection.set_num_replicas("m", 1)
    assert len(cluster.containers("model:m:1", stopped=True)) == 1
    cluster.connection.stop_versioned_models({"m": ["1"]})
    assert cluster.containers("model:m:1", stopped=True) == []


def test_a_negative_number_is_refused(cluster: DockerCluster) -> None:
    with pytest.raises(ClipperException, match="-1 replicas"):
        cluster.manager.deploy_model("m", "1", "doubles", NOOP, -1)


def test_a_second_start_is_refused_and_disturbs_nothing(cluster: DockerCluster) -> None:
    serve(cluster)
    second = ClipperConnection(DockerContainerManager(cluster.manager.cluster_name))
    with pytest.raises(ClipperException) as caught:
        second.start_clipper()
    assert str(caught.value) == (
        f"Cluster {cluster.manager.cluster_name} cannot be started because it already exists. "
        "Please use ClipperConnection.connect() to connect to it."
    )
    assert not cluster.predict("app", input=[1.0])["default"]


def test_another_process_finds_the_cluster_and_scales_it(cluster: DockerCluster) -> None:
    serve(cluster)
    environment = {**os.environ, "CLIPPER_MODE": "docker", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "clipper", "-c", cluster.manager.cluster_name, "-o", "json"]

    def run(*words: str) -> str:
        return subprocess.run(
            [*command, *words], env=environment, cwd="/", capture_output=True, text=True,
            timeout=120, check=True,
        ).stdout  # fmt: skip

    report = json.loads(run("status"))
    assert report["query_address"] == cluster.connection.get_query_addr()
    assert report["metric_address"] == cluster.connection.get_metric_addr()
    assert report["processes"]["services"]["model:m:1"] == 1
    assert {row["restarts"] for row in report["processes"]["children"]} == {0}
    run("scale", "m", "2")
    assert cluster.ready_replicas("m", "1") == 2
    findings = json.loads(run("doctor"))
    assert [one for one in findings if not one["ok"]] == []
    logs = json.loads(run("logs", "m:1"))
    assert len(logs) == 2


def test_connecting_to_nothing_says_how_to_start_it() -> None:
    manager = DockerContainerManager("nobody-has-this-name")
    with pytest.raises(ClipperException, match=r"not running.*clipper --mode docker up"):
        manager.connect()
    with pytest.raises(ClipperException, match="No Clipper query frontend to attach"):
        manager.deploy_model("m", "1", "doubles", NOOP)


def test_a_version_that_is_deployed_is_claimed(cluster: DockerCluster) -> None:
    other = DockerContainerManager(cluster.manager.cluster_name)
    other.connect()
    with cluster.manager.claim("m", "1"):
        with (
            pytest.raises(ClipperException, match="Another client is deploying m:1"),
            other.claim("m", "1"),
        ):
            pass
        with other.claim("m", "2"):
            pass
    with other.claim("m", "1"):
        pass


def test_a_dead_client_blocks_nobody(cluster: DockerCluster) -> None:
    script = (
        "import sys, time\n"
        "from clipper.managers.docker import DockerContainerManager\n"
        f"with DockerContainerManager({cluster.manager.cluster_name!r}).claim('m', '9'):\n"
        "    print('claimed', flush=True)\n"
        "    time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    client = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert client.stdout is not None
        assert client.stdout.readline() == "claimed\n"
        with (
            pytest.raises(ClipperException, match="Another client"),
            cluster.manager.claim("m", "9"),
        ):
            pass
    finally:
        client.kill()
        client.communicate()

    def claimed() -> bool:
        try:
            with cluster.manager.claim("m", "9"):
                return True
        except ClipperException:
            return False

    eventually(claimed, "the claim of a dead client ends")


def test_a_killed_replica_is_not_counted_and_told(cluster: DockerCluster) -> None:
    serve(cluster, replicas=2)
    victim = cluster.containers("model:m:1")[0]
    victim.kill()  # by hand: the engine does not start it again
    eventually(lambda: cluster.connection.get_num_replicas("m") == 1, "one is left")
    failure = cluster.manager.container_failure("m", "1")
    assert "was killed by signal 9" in failure
    cluster.connection.set_num_replicas("m", 2)
    assert cluster.manager.container_failure("m", "1") is None
    assert len(cluster.containers("model:m:1", stopped=True)) == 2


@pytest.mark.slow
def test_a_name_too_long_for_dns_is_deployed_and_scraped(cluster: DockerCluster) -> None:
    name = "a" * 70
    cluster.connection.deploy_model(name, "1", "doubles", NOOP)
    (container,) = cluster.containers(f"model:{name}:1")
    (prometheus,) = of_role(cluster, "metrics")
    code, output = prometheus.exec_run(["cat", "/etc/clipper-prometheus/targets/clipper.json"])
    assert code == 0
    targets = [one for group in json.loads(output) for one in group["targets"]]
    assert f"{container.id[:12]}:1390" in targets
    code, _ = prometheus.exec_run(
        ["python", "-c", f"import socket; socket.create_connection(('{container.id[:12]}', 1390))"]
    )
    assert code == 0


def of_role(cluster: DockerCluster, role: str) -> list[Any]:
    return [one for one in of_cluster(cluster) if one.labels["ai.clipper.name"] == role]
