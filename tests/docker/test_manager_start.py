"""Starting a cluster: what is taken, what is missing, what comes back, and beside another one."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.errors import ClipperException, ContainerStartError
from clipper.managers.docker import DockerContainerManager, core, launch
from clipper.managers.docker.claims import claim
from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import DockerCluster, docker_cluster, free_port
from tests.stock import StockImages, bridge_address

NOOP = stock_image("noop-container")
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.docker


def serve(cluster: DockerCluster) -> None:
    cluster.connection.register_application("app", "doubles", "default", 5_000_000)
    cluster.connection.deploy_model("m", "1", "doubles", NOOP, num_replicas=2)
    cluster.connection.link_model_to_app("app", "m")


def left(images: StockImages, name: str) -> list[str]:
    """Return what the engine has of a cluster."""
    client = images.engine.client
    label = {"label": f"ai.clipper.container.label={name}"}
    found = [one.name for one in client.containers.list(all=True, filters=label)]
    found += [one.name for one in client.volumes.list(filters={"name": f"clipper-{name}-"})]
    return found + [one.name for one in client.networks.list(names=[f"net-{name}"])]


@contextlib.contextmanager
def listening() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    "probes",
    [
        pytest.param(True, id="probed"),
        pytest.param(False, id="refused-by-the-engine", marks=pytest.mark.slow),
    ],
)
def test_taken_ports_are_replaced_and_told(
    stock_images: StockImages,
    probes: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not probes:
        monkeypatch.setattr(launch, "is_free", lambda *_: True)
    with listening() as query, listening() as management:
        options = {"clipper_query_port": query, "clipper_management_port": management}
        with docker_cluster(stock_images, prometheus_image=None, **options) as cluster:
            host, _, port = cluster.connection.get_query_addr().partition(":")
            assert (host, int(port) != query) == ("localhost", True)
            assert cluster.connection.inspect_instance()
            (container,) = cluster.containers("query-frontend")
            assert container.labels["ai.clipper.query_frontend.query.port"] == port
            assert cluster.connection.get_metric_addr() == cluster.connection.get_query_addr()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(f"host port {query} is taken: the query frontend" in text for text in warnings)
    assert any(f"host port {management} is taken" in text for text in warnings)


@pytest.mark.slow
def test_two_clusters_on_one_host_and_network(stock_images: StockImages) -> None:
    shared = f"net-{uuid.uuid4().hex[:8]}"
    ports = {"clipper_query_port": free_port(), "prometheus_image": None}
    with (
        docker_cluster(stock_images, "noop", docker_network=shared, **ports) as first,
        docker_cluster(stock_images, "noop", docker_network=shared, **ports) as second,
    ):
        assert first.connection.get_query_addr() != second.connection.get_query_addr()
        serve(first)
        serve(second)
        first.connection.stop_all()
        assert first.manager.status()["state"] == "stopped"
        assert not second.predict("app", input=[1.0])["default"]
        assert second.connection.get_num_replicas("m") == 2
    assert stock_images.engine.client.networks.list(names=[shared]) == []


def test_a_stopped_cluster_comes_back_with_all_it_served(stock_images: StockImages) -> None:
    with docker_cluster(stock_images, "noop", prometheus_image=None) as cluster:
        serve(cluster)
        before = {one.id for one in cluster.containers("model:m:1")}
        cluster.connection.stop_all()
        assert cluster.manager.status() | {"state_dir": ""} == {
            "cluster": cluster.manager.cluster_name,
            "state": "stopped",
            "state_dir": "",
            "supervisor": None,
            "services": {},
            "children": [],
        }
        cluster.connection.stop_all()
        cluster.connection.start_clipper()
        assert not cluster.predict("app", input=[1.0])["default"]
        after = cluster.containers("model:m:1", stopped=True)
        assert len(after) == 2
        assert not before & {one.id for one in after}
        assert cluster.connection.get_linked_models("app") == ["m"]
        name = cluster.manager.cluster_name
        with pytest.raises(ClipperException, match="runs; stop it first"):
            cluster.manager.delete_state()
    assert left(stock_images, name) == []


@pytest.mark.slow
def test_what_is_left_of_a_cluster_is_told_and_stopped(stock_images: StockImages) -> None:
    with docker_cluster(stock_images, prometheus_image=None) as cluster:
        name = cluster.manager.cluster_name
        (query,) = cluster.containers("query-frontend")
        (management,) = cluster.containers("management-frontend")
        management.stop(timeout=10)
        DockerContainerManager(name).connect()  # its ports are known
        query.remove(force=True)
        with pytest.raises(ClipperException, match=r"without its query-frontend.*stop_all"):
            DockerContainerManager(name).connect()
        DockerContainerManager(name).stop_all()
        cluster.connection.start_clipper()
        assert cluster.connection.get_all_apps() == []


@pytest.mark.slow
def test_a_model_whose_image_is_gone_is_warned_of(
    stock_images: StockImages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with docker_cluster(stock_images, "noop", prometheus_image=None) as cluster:
        image = cluster.connection.build_model("m", "1", str(tmp_path), NOOP)
        cluster.connection.deploy_model("m", "1", "doubles", image)
        cluster.connection.stop_all()
        cluster.client.images.remove(image, force=True)
        cluster.connection.start_clipper()
        assert cluster.connection.get_num_replicas("m", "1") == 0
        assert "model m:1 of an earlier run is not started" in caplog.text


@pytest.mark.slow
def test_an_interrupted_start_leaves_nothing_new(
    stock_images: StockImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    with docker_cluster(stock_images, "noop", prometheus_image=None) as cluster:
        name = cluster.manager.cluster_name
        serve(cluster)
        cluster.connection.stop_all()
        before = sorted(left(stock_images, name))
        wait = core.wait_until_ready

        def interrupt(engine: Any, container: Any, what: str, probe: Any) -> None:
            wait(engine, container, what, probe)
            if what == "query frontend":
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(core, "wait_until_ready", interrupt)
            with pytest.raises(KeyboardInterrupt):
                cluster.connection.start_clipper()
        assert sorted(left(stock_images, name)) == before
        cluster.connection.start_clipper()
        assert cluster.connection.get_num_replicas("m") == 2


def test_of_two_starts_at_once_one_is_refused(stock_images: StockImages) -> None:
    stock_images.need("frontend", "prometheus")
    name = f"test-{uuid.uuid4().hex[:8]}"
    image = stock_image("query_frontend")
    with claim(stock_images.engine, image, name, "start") as claimed:
        assert claimed
        with pytest.raises(ClipperException, match="already exists"):
            ClipperConnection(DockerContainerManager(name)).start_clipper()
    assert left(stock_images, name) == []


@contextlib.contextmanager
def redis(images: StockImages, directory: Path, password: str) -> Iterator[tuple[str, int]]:
    """A Redis of the machine's own, where containers reach it."""
    address, port = bridge_address(images.engine.client), free_port()
    words = ["store", "--data-dir", str(directory), "--host", address, "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPPER_REDIS_PASSWORD": password}
    process = subprocess.Popen(
        [sys.executable, "-m", "clipper.daemon", *words], env=environment,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield address, port
    finally:
        process.terminate()
        process.wait(30)


def test_an_external_redis_with_a_password(stock_images: StockImages, tmp_path: Path) -> None:
    with redis(stock_images, tmp_path, "secret") as (address, port):
        url = f"redis://:secret@{address}:{port}/0"
        with docker_cluster(stock_images, redis_url=url, prometheus_image=None) as cluster:
            cluster.connection.register_application("app", "doubles", "d", 1_000_000)
            assert cluster.connection.get_all_apps() == ["app"]
            assert cluster.containers("store", stopped=True) == []
            cluster.connection.stop_all()
            cluster.connection.start_clipper()
            assert cluster.connection.get_all_apps() == ["app"]


@pytest.mark.slow
def test_a_loopback_redis_is_the_hosts(stock_images: StockImages, tmp_path: Path) -> None:
    with redis(stock_images, tmp_path, "") as (_, port):
        options: dict[str, Any] = {"redis_ip": "127.0.0.1", "redis_port": port}
        with docker_cluster(stock_images, prometheus_image=None, **options) as cluster:
            cluster.connection.register_application("app", "doubles", "d", 1_000_000)
            assert cluster.connection.get_all_apps() == ["app"]


@pytest.mark.slow
def test_an_unreachable_redis_ends_the_start(stock_images: StockImages) -> None:
    stock_images.need("frontend")
    name = f"test-{uuid.uuid4().hex[:8]}"
    manager = DockerContainerManager(
        name, redis_ip=bridge_address(stock_images.engine.client), redis_port=free_port(),
        docker_network=f"net-{name}", clipper_query_port=0, clipper_management_port=0,
    )  # fmt: skip
    with pytest.raises(ContainerStartError, match=r"management frontend.*store.*Last lines of"):
        ClipperConnection(manager).start_clipper()
    assert left(stock_images, name) == []


def test_a_missing_image_is_told_before_anything_starts(stock_images: StockImages) -> None:
    stock_images.need("frontend")
    name = f"test-{uuid.uuid4().hex[:8]}"
    manager = DockerContainerManager(name, docker_network=f"net-{name}")
    with pytest.raises(ClipperException, match="no-such-image"):
        ClipperConnection(manager).start_clipper(mgmt_frontend_image="no-such-image:1")
    assert left(stock_images, name) == []


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ClipperException, match="'host' is not supported"):
        DockerContainerManager(docker_network="host")
    with pytest.raises(ClipperException, match="Invalid value"):
        DockerContainerManager("a_b")
    with pytest.raises(ClipperException, match="one query frontend"):
        ClipperConnection(DockerContainerManager()).start_clipper(num_frontend_replicas=2)


@pytest.mark.slow
def test_extra_arguments_reach_every_container(stock_images: StockImages) -> None:
    extra = {"mem_limit": "512m", "labels": {"team": "x"}, "environment": {"TZ": "UTC"}}
    with docker_cluster(stock_images, "noop", extra_container_kwargs=extra) as cluster:
        serve(cluster)
        label = {"label": "team=x"}
        containers = cluster.client.containers.list(filters=label, ignore_removed=True)
        assert len(containers) == 6
        for one in containers:
            assert one.attrs["HostConfig"]["Memory"] == 512 * 2**20
            assert "TZ=UTC" in one.attrs["Config"]["Env"]
