"""Centralized logging with a real receiver of the forward protocol (I8 of spec §12.3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.deployers.python import deploy_python_closure
from clipper.errors import ClipperException
from clipper.managers.docker.central_logging import CONFIG_LABEL, PORT_LABEL, configuration
from clipper.managers.docker.manager import DockerContainerManager
from clipper.managers.labels import CLUSTER_LABEL
from tests.e2e.clusters import DockerCluster, docker_cluster, eventually
from tests.stock import TEST_LABEL, StockImages

pytestmark = [pytest.mark.docker, pytest.mark.slow]

_RECEIVER = "clipper-test/forward-receiver:1"


def _talkative(inputs: Any) -> list[Any]:
    for x in inputs:
        print(f"talkative model got {x[0]}", flush=True)
    return [float(x[0]) for x in inputs]


@pytest.fixture(scope="module")
def receiver_image(stock_images: StockImages) -> str:
    """fluentd's stand-in: its own image cannot be pulled where there is no registry."""
    context = Path(__file__).parent / "images" / "forward-receiver"
    stock_images.engine.client.images.build(
        path=str(context), tag=_RECEIVER, rm=True, labels={TEST_LABEL: ""}
    )
    return _RECEIVER


@pytest.fixture(scope="module")
def logging_cluster(stock_images: StockImages, receiver_image: str) -> Iterator[DockerCluster]:
    with docker_cluster(
        stock_images, "python-closure",
        use_centralized_log=True, fluentd_port=0, fluentd_image=receiver_image,
    ) as cluster:  # fmt: skip
        yield cluster


@pytest.fixture(scope="module")
def talking(logging_cluster: DockerCluster) -> DockerCluster:
    """The cluster with a model that has printed something."""
    connection = logging_cluster.connection
    connection.register_application("app", "doubles", "DEFAULT", 10_000_000)
    deploy_python_closure(connection, "talkative", "1", "doubles", _talkative, num_replicas=2)
    connection.link_model_to_app("app", "talkative")
    for number in (41.0, 42.0, 43.0):
        assert logging_cluster.predict("app", input=[number])["output"] == number
    return logging_cluster


def _of_cluster(cluster: DockerCluster) -> list[Any]:
    label = f"{CLUSTER_LABEL}={cluster.manager.cluster_name}"
    found: list[Any] = cluster.client.containers.list(filters={"label": label})
    return found


def _collector(cluster: DockerCluster) -> Any:
    [found] = [one for one in _of_cluster(cluster) if PORT_LABEL in one.labels]
    return found


def _received(cluster: DockerCluster) -> list[dict[str, str]]:
    """Return the records that the collector has printed."""
    lines = _collector(cluster).logs().decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def _connected(cluster: DockerCluster, **options: Any) -> DockerContainerManager:
    manager = DockerContainerManager(cluster.manager.cluster_name, **options)
    manager.connect()
    return manager


def _log_config(container: Any) -> Any:
    return container.attrs["HostConfig"]["LogConfig"]


def test_i8_d_every_container_logs_to_the_collector(talking: DockerCluster) -> None:
    collector = _collector(talking)
    others = [one for one in _of_cluster(talking) if one.id != collector.id]
    assert len(others) == 6  # store, two frontends, Prometheus, two replicas
    names = {str(one.name) for one in others}
    eventually(
        lambda: names <= {record["container_name"].strip("/") for record in _received(talking)},
        f"lines of all of {names}",
    )
    for record in _received(talking):
        assert record["tag"] == record["container_name"].strip("/")
    assert {_log_config(one)["Type"] for one in others} == {"fluentd"}
    assert _log_config(collector)["Type"] != "fluentd"


def test_i8_e_what_the_models_print_arrives(talking: DockerCluster) -> None:
    def printed() -> set[str]:
        return {
            record["log"].strip()
            for record in _received(talking)
            if record["container_name"].strip("/").startswith("talkative_1-")
        }

    expected = {f"talkative model got {number}" for number in (41.0, 42.0, 43.0)}
    eventually(lambda: expected <= printed(), "the models' own lines")


def test_i8_a_a_client_that_does_not_ask_for_it_adopts_it(talking: DockerCluster) -> None:
    manager = _connected(talking, use_centralized_log=False)
    ClipperConnection(manager).connect()
    before = {one.id for one in talking.containers("model:talkative:1")}
    image = talking.containers("model:talkative:1")[0].attrs["Config"]["Image"]
    manager.set_num_replicas("talkative", "1", "doubles", image, 3)
    try:
        [added] = [one for one in talking.containers("model:talkative:1") if one.id not in before]
        assert _log_config(added)["Type"] == "fluentd"
    finally:
        manager.set_num_replicas("talkative", "1", "doubles", image, 2)


def test_i8_b_a_cluster_without_a_collector_is_refused(stock_images: StockImages) -> None:
    with docker_cluster(stock_images, prometheus_image=None) as plain:
        with pytest.raises(ClipperException, match=r"^Invalid state detected\."):
            _connected(plain, use_centralized_log=True)
        _connected(plain, use_centralized_log=False)


def test_i8_c_a_client_that_asks_for_it_finds_the_same(talking: DockerCluster) -> None:
    collector = _collector(talking)
    port = collector.labels[PORT_LABEL]
    assert collector.ports["24224/tcp"][0]["HostPort"] == port
    _connected(talking, use_centralized_log=True, fluentd_port=1)  # what runs decides
    expected = {"fluentd-address": f"127.0.0.1:{port}", "fluentd-async": "true"}
    for container in talking.containers("model:talkative:1"):
        assert _log_config(container)["Config"].items() >= expected.items()
    configured = collector.exec_run(["cat", collector.labels[CONFIG_LABEL]])
    assert (configured.exit_code, configured.output) == (0, configuration())


def test_logs_are_at_the_collector_and_not_here(talking: DockerCluster, tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match=f"docker logs {_collector(talking).name}"):
        talking.connection.get_clipper_logs(str(tmp_path / "logs"))


def test_a_collector_that_is_gone_blocks_no_query_and_no_new_replica(
    stock_images: StockImages, receiver_image: str
) -> None:
    with docker_cluster(
        stock_images, "python-closure", prometheus_image=None,
        use_centralized_log=True, fluentd_port=0, fluentd_image=receiver_image,
    ) as cluster:  # fmt: skip
        _collector(cluster).kill()
        connection = cluster.connection
        connection.register_application("app", "doubles", "DEFAULT", 10_000_000)
        deploy_python_closure(connection, "talkative", "1", "doubles", _talkative)
        connection.link_model_to_app("app", "talkative")
        for number in range(50):
            assert cluster.predict("app", input=[float(number)])["output"] == number
