"""The Docker daemon stops and starts again: the same applications, links, versions and replicas.

Stops the engine under everybody who uses it, so it runs last, and only where that was allowed.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from clipper.admin.connection import ClipperConnection
from clipper.deployers import python as python_deployer
from clipper.managers.docker.manager import DockerContainerManager
from tests.e2e import models
from tests.e2e.clusters import DockerCluster, docker_cluster, eventually
from tests.stock import StockImages, dropped_sockets

pytestmark = pytest.mark.restarts_engine

ALLOWED = "CLIPPER_ALLOW_ENGINE_RESTART"
LIMIT_S = 120.0
SLO_MICROS = 5_000_000


class Daemon:
    """The dockerd of this machine, as somebody started it."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._command = process.cmdline()
        self._environ = process.environ()
        self._directory = process.cwd()
        self._log = Path(f"/proc/{process.pid}/fd/2").resolve()

    def stop(self) -> None:
        """End the daemon gracefully, and its containers with it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(LIMIT_S)

    def start(self) -> None:
        """Start it again, with the same words, environment and log, as nobody's child."""
        with self._log.open("ab") as log:
            subprocess.run(
                ["setsid", "--fork", *self._command], env=self._environ, cwd=self._directory,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=LIMIT_S,
            )  # fmt: skip
        (self._process,) = eventually(daemons, "the daemon runs", LIMIT_S)


def why_not() -> str | None:
    """Return why this engine is not ours to restart."""
    if os.environ.get(ALLOWED) != "1":
        return f"stops every container of this engine: {ALLOWED}=1 allows it"
    if os.geteuid() != 0:
        return "only root can restart the engine"
    if Path("/run/systemd/system").is_dir():
        return "systemd manages this engine"
    if len(daemons()) != 1:
        return f"{len(daemons())} processes are called dockerd here"
    return None


def daemons() -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if process.name() == "dockerd"]


@pytest.fixture(scope="module")
def daemon() -> Daemon:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return Daemon(daemons()[0])


@pytest.fixture(scope="module")
def shared_cluster(daemon: Daemon, stock_images: StockImages) -> Iterator[DockerCluster]:
    with docker_cluster(stock_images, "python-closure", "noop") as cluster:
        yield cluster


def furnish(connection: ClipperConnection) -> None:
    """Two applications; ``m`` with two versions, the older one current with two replicas."""
    connection.register_application("app", "doubles", "DEFAULT", SLO_MICROS)
    connection.register_application("bare", "strings", "nobody", 100_000)
    for version in (1, 2):
        python_deployer.deploy_python_closure(
            connection, "m", version, "doubles", models.tagged(f"v{version}")
        )
    connection.link_model_to_app("app", "m")
    connection.set_model_version("m", "1")
    connection.set_num_replicas("m", 2, "1")


def configuration(connection: ClipperConnection) -> dict[str, Any]:
    """Return what an operator sees of the cluster, but for what belongs to one process."""
    return {
        "apps": sorted(connection.get_all_apps(verbose=True), key=lambda app: app["name"]),
        "links": connection.get_linked_models("app"),
        "bare": connection.get_linked_models("bare"),
        "models": sorted(connection.get_all_models()),
        "current": connection.get_current_model_version("m"),
        "replicas": [connection.get_num_replicas("m", version) for version in (1, 2)],
    }


def answers(test: Callable[[], Any]) -> Any:
    """Return what the test does, or None while nobody is there to ask."""
    try:
        return test()
    except (OSError, AssertionError):
        return None


@pytest.mark.slow
def test_a_restarted_engine_brings_everything_back(cluster: DockerCluster, daemon: Daemon) -> None:
    furnish(cluster.connection)
    before = configuration(cluster.connection)
    first_id = cluster.predict("app", input=[1.0])["query_id"]

    daemon.stop()
    daemon.start()

    with dropped_sockets():
        eventually(lambda: answers(cluster.client.ping), "the engine answers", LIMIT_S, 0.5)
        eventually(
            lambda: answers(
                lambda: cluster.predict("app", timeout_s=10.0, input=[5.0])["output"] == "v1/5.0"
            ),
            "predictions",
            LIMIT_S,
            0.5,
        )
    eventually(lambda: cluster.ready_replicas("m", "1") == 2, "both replicas serve", LIMIT_S)
    eventually(lambda: cluster.ready_replicas("m", "2") == 1, "the other version, too", LIMIT_S)
    assert configuration(cluster.connection) == before
    answer = cluster.predict("app", input=[7.0])
    assert answer["output"] == "v1/7.0"
    assert answer["query_id"] != first_id
    assert cluster.predict("bare", input="x")["output"] == "nobody"

    # Another process finds the cluster as it was, and goes on with it.
    again = ClipperConnection(DockerContainerManager(cluster.manager.cluster_name))
    again.connect()
    again.set_model_version("m", "2")
    assert cluster.predict("app", input=[8.0])["output"] == "v2/8.0"
