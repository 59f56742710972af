"""LocalContainerManager with the real server processes: start, predict, violence, restart."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from clipper.managers.base import ClusterOptions
from clipper.managers.local import LocalContainerManager
from clipper.managers.ports import free_port, is_free

pytestmark = pytest.mark.local

WORKERS = 2
OPTIONS = ClusterOptions("", "", "", qf_http_thread_pool_size=WORKERS)
PORTS = 2 + WORKERS

APPLICATION = {
    "name": "app",
    "input_type": "doubles",
    "default_output": "-1.0",
    "latency_slo_micros": 3_000_000,
}
MODEL = {
    "model_name": "m",
    "model_version": "1",
    "input_type": "doubles",
    "labels": [],
    "container_name": "noop-container",
    "model_data_path": "DEPRECATED",
    "batch_size": -1,
}


def until(condition: Callable[[], Any], limit_s: float = 30.0) -> Any:
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)
    return value


def call(address: str, path: str, body: object = None) -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        method, data = ("GET", None) if body is None else ("POST", json.dumps(body))
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[LocalContainerManager]:
    first = free_port(count=PORTS)
    cluster = LocalContainerManager(
        "daemon",
        state_dir=tmp_path / "state",
        clipper_query_port=first,
        clipper_management_port=first + 1,
        clipper_rpc_port=first + 2,
        token="secret",
    )
    yield cluster
    cluster.stop_all(graceful=False)
    assert all(is_free("127.0.0.1", port) for port in range(first, first + PORTS))


def administer(manager: LocalContainerManager, operation: str, body: object) -> None:
    status, text = call(manager.get_admin_addr(), f"/admin/{operation}", body)
    assert status == 200, text


def predicts(manager: LocalContainerManager) -> bool:
    try:
        status, text = call(manager.get_query_addr(), "/app/predict", {"input": [1.0]})
    except (OSError, http.client.HTTPException):
        return False
    return status == 200 and json.loads(text)["default"] is False


def family(manager: LocalContainerManager) -> list[psutil.Process]:
    """Return every child of the supervisor with its descendants."""
    supervisor = psutil.Process(manager.child_pids()["supervisor"][0])
    return supervisor.children(recursive=True)


def test_a_cluster_survives_what_happens_to_its_processes(manager: LocalContainerManager) -> None:
    manager.start_clipper(OPTIONS)
    administer(manager, "add_app", APPLICATION)
    manager.deploy_model("m", "1", "doubles", "noop-container", num_replicas=2)
    administer(manager, "add_model", MODEL)
    administer(manager, "add_model_links", {"app_name": "app", "model_names": ["m"]})
    until(lambda: predicts(manager))

    for role in ("query-frontend", "store", "model:m:1"):
        victim = manager.child_pids()[role][0]
        os.kill(victim, signal.SIGKILL)
        until(lambda role=role, dead=victim: dead not in manager.child_pids().get(role, [dead]))
        until(lambda: predicts(manager))

    everything = family(manager)
    assert len(everything) >= 5 + WORKERS
    os.kill(manager.child_pids()["supervisor"][0], signal.SIGKILL)
    _, left = psutil.wait_procs(everything, timeout=10)
    assert [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []

    manager.start_clipper(OPTIONS)
    until(lambda: predicts(manager))
    everything = family(manager)
    manager.stop_all()
    _, left = psutil.wait_procs(everything, timeout=1)
    assert [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
