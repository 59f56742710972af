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

import requests

from clipper.admin.connection import ClipperConnection
from clipper.managers.local import LocalContainerManager

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
        pids: list[int] = self.manager.child_pids().get(role, [])
        return pids

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
