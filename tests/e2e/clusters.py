"""Clusters for end-to-end tests, behind one interface for all container managers."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker.errors
import requests
from docker import DockerClient
from docker.models.containers import Container

from clipper.admin.connection import ClipperConnection
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.manager import DockerContainerManager
from clipper.managers.docker.specs import ROLE_LABEL, VOLUME_LABEL
from clipper.managers.labels import CLUSTER_LABEL, MODEL_LABEL
from clipper.managers.local import LocalContainerManager
from tests.stock import StockImages

REASONS = {"slo", "no-replica", "shed", "model-error", "low-confidence"}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def free_ports(count: int) -> int:
    """Return the first of ``count`` neighbouring free ports."""
    for _ in range(50):
        first = free_port()
        try:
            with contextlib.ExitStack() as stack:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
        except (OSError, OverflowError):
            continue
    raise RuntimeError("no neighbouring free ports")


def eventually(
    condition: Callable[[], Any], what: str, timeout_s: float = 30.0, pause_s: float = 0.05
) -> Any:
    """Wait until ``condition()`` is true and return its value; fail naming ``what``."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < give_up_at, f"not within {timeout_s} s: {what}"
        time.sleep(pause_s)


@dataclasses.dataclass
class Cluster:
    """A running cluster and what a user would know of it."""

    connection: ClipperConnection
    manager: Any

    def url(self, app: str, operation: str = "predict") -> str:
        return f"http://{self.connection.get_query_addr()}/{app}/{operation}"

    def post(self, app: str, timeout_s: float = 60.0, **body: Any) -> requests.Response:
        return requests.post(self.url(app), json=body, timeout=timeout_s)

    def predict(self, app: str, **body: Any) -> dict[str, Any]:
        response = self.post(app, **body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        for part in answer.get("batch_predictions", [answer]):
            if part["default"]:
                assert part["default_explanation"]
        if answer.get("default"):
            assert response.headers["X-Clipper-Default"] in REASONS
        return answer

    def pids(self, role: str) -> list[int]:
        """Return the process ids of a role, such as ``store`` or ``model:<name>:<version>``."""
        pids: list[int] = self.manager.child_pids().get(role, [])
        return pids

    def running_from(self, image: str, name: str, version: Any) -> int:
        """Return how many containers of the cluster run the image, or one built upon it.

        Local mode's images are no more than names: here it is the model's containers.
        """
        replicas: int = self.manager.get_num_replicas(name, str(version))
        return replicas

    def ready_replicas(self, name: str, version: str) -> int:
        replicas = self.connection.get_all_model_replicas(verbose=True)
        return sum(
            1
            for replica in replicas
            if (replica["model_name"], replica["model_version"]) == (name, version)
            and replica["state"] == "ready"
        )

    def clean(self) -> None:
        """Remove every application and model, so that the next test starts from nothing."""
        for app in self.connection.get_all_apps():
            self.connection.unregister_application(app)
        self.connection.stop_all_model_containers()
        models = self.connection.get_all_models(verbose=True)
        remaining: dict[str, list[str]] = {}
        for model in models:
            remaining.setdefault(model["model_name"], []).append(model["model_version"])
        if remaining:
            self.connection.stop_versioned_models(remaining)


_ROLES = {
    "store": "redis",
    "query-frontend": "query-frontend",
    "management-frontend": "mgmt-frontend",
}
"""Role as local mode calls it → value of the label `ai.clipper.name` (spec §10.4)."""


class DockerCluster(Cluster):
    """A cluster on a Docker engine, looked at through the engine's own eyes."""

    def __init__(self, connection: ClipperConnection, manager: Any, engine: Engine) -> None:
        super().__init__(connection, manager)
        self.client = engine.client

    def containers(self, role: str, stopped: bool = False) -> list[Container]:
        """Return a role's containers, in the order of their names; roles as for `pids`."""
        kind, _, model = role.partition(":")
        wanted = (
            f"{MODEL_LABEL}={model.replace(':', '_')}"
            if kind == "model"
            else f"{ROLE_LABEL}={_ROLES[kind]}"
        )
        labels = [f"{CLUSTER_LABEL}={self.manager.cluster_name}", wanted]
        found = self.client.containers.list(
            all=stopped, filters={"label": labels}, ignore_removed=True
        )
        return sorted(found, key=lambda container: str(container.name))

    def pids(self, role: str) -> list[int]:
        pids = [container.attrs["State"]["Pid"] for container in self.containers(role)]
        return [pid for pid in pids if pid]

    def running_from(self, image: str, name: str, version: Any) -> int:
        of_cluster = f"{CLUSTER_LABEL}={self.manager.cluster_name}"
        return len(self.client.containers.list(filters={"label": of_cluster, "ancestor": image}))


@contextlib.contextmanager
def docker_cluster(
    images: StockImages,
    *families: str,
    start: Mapping[str, Any] | None = None,
    name: str = "",
    **options: Any,
) -> Iterator[DockerCluster]:
    """Start a cluster on the Docker engine; afterwards nothing of it is left.

    Args:
        images: builds what is needed.
        families: of models that will be deployed.
        start: further arguments of `ClipperConnection.start_clipper`.
        name: of the cluster.
        options: further arguments of `DockerContainerManager`; ports are any free ones.
    """
    images.need("frontend", "prometheus", *families)
    name = name or f"test-{uuid.uuid4().hex[:8]}"
    ports = ("clipper_query_port", "clipper_management_port", "clipper_rpc_port", "redis_port")
    given = dict.fromkeys([*ports, "prometheus_port"], 0) | {"docker_network": f"net-{name}"}
    manager = DockerContainerManager(name, **(given | options))
    connection = ClipperConnection(manager)
    try:
        connection.start_clipper(**(start or {}))
        yield DockerCluster(connection, manager, images.engine)
    finally:
        try:
            connection.stop_all(graceful=False)
            manager.delete_state()
        finally:
            remove_remains(images.engine.client, name)


def remove_remains(client: DockerClient, cluster_name: str) -> None:
    """Remove what a cluster has left on the engine, whatever state its test left it in."""
    of_cluster = {"label": f"{CLUSTER_LABEL}={cluster_name}"}
    for container in client.containers.list(all=True, filters=of_cluster, ignore_removed=True):
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True, v=True)
    for volume in client.volumes.list(filters={"label": f"{VOLUME_LABEL}={cluster_name}"}):
        volume.remove(force=True)
    for network in client.networks.list(names=[f"net-{cluster_name}"]):
        network.remove()


@contextlib.contextmanager
def local_cluster(
    directory: Path, workers: int = 1, start: Mapping[str, Any] | None = None, **options: Any
) -> Iterator[Cluster]:
    """Start a local cluster on free ports; afterwards nothing of it is left.

    Args:
        directory: becomes the parent of the state directory.
        workers: processes of the query frontend.
        start: further arguments of `ClipperConnection.start_clipper`.
        options: further arguments of `LocalContainerManager`.
    """
    manager = LocalContainerManager(
        cluster_name=f"test-{uuid.uuid4().hex[:8]}",
        state_dir=str(directory / "state"),
        clipper_query_port=free_port(),
        clipper_management_port=free_port(),
        clipper_rpc_port=free_ports(workers),
        **options,
    )
    connection = ClipperConnection(manager)
    try:
        connection.start_clipper(qf_http_thread_pool_size=workers, **(start or {}))
        yield Cluster(connection, manager)
    finally:
        connection.stop_all(graceful=False)
