"""What the benchmarks run: reference servers, a Clipper cluster, the load generator."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest.mock
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.recorder import Summary
from benchmarks.spec import LoadSpec
from clipper.admin.connection import ClipperConnection
from clipper.managers.base import ClusterOptions
from clipper.managers.local import LocalContainerManager
from clipper.managers.local_plan import QUERY, ServiceSpec, core_services
from clipper.managers.ports import free_port

HOST = "127.0.0.1"
_START_LIMIT_S = 20.0


class LoadGenerator:
    """The client process; runs one load at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def run(self, spec: LoadSpec) -> Summary:
        """Do one run and return what it measured.

        Raises:
            RuntimeError: the generator died; its error is on standard error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(dataclasses.asdict(spec)), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator died during a run on {spec.path}")
        return Summary(**json.loads(line))


@contextlib.contextmanager
def load_generator() -> Iterator[LoadGenerator]:
    """Start the client process, and end it after the block."""
    command = [sys.executable, "-m", "benchmarks.load"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, env=environment(), **pipes)
    try:
        yield LoadGenerator(process)
    finally:
        stop(process)


@contextlib.contextmanager
def python_server(module: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """Run ``python -m module PORT arguments`` for the block; yields its port and process number."""
    port = free_port(HOST)
    command = [sys.executable, "-m", module, str(port), *arguments]
    process = subprocess.Popen(command, env=environment())
    try:
        _wait_for_port(port, process)
        yield port, process.pid
    finally:
        stop(process)


@contextlib.contextmanager
def clipper_cluster(
    workers: int = 1, asgi: bool = False, **options: Any
) -> Iterator[tuple[ClipperConnection, LocalContainerManager]]:
    """Run a cluster for the block, on free ports.

    Args:
        asgi: predict requests go through uvicorn's own protocol class, not through ours.
        options: what else `ClipperConnection.start_clipper` takes.
    """
    with tempfile.TemporaryDirectory(prefix="clipper-bench-") as state_dir:
        query = free_port(HOST, 2 + workers)
        manager_class = _AsgiManager if asgi else LocalContainerManager
        manager = manager_class("bench", state_dir, HOST, query, query + 1, query + 2)
        connection = ClipperConnection(manager)
        try:
            connection.start_clipper(qf_http_thread_pool_size=workers, **options)
            yield connection, manager
        finally:
            connection.stop_all(graceful=False)


class _AsgiManager(LocalContainerManager):
    """Starts the query frontend with an option that only benchmarks and tests have a use for."""

    def start_clipper(self, options: ClusterOptions) -> bool:
        """Start everything."""

        def services(*arguments: Any) -> list[ServiceSpec]:
            return [
                dataclasses.replace(spec, argv=(*spec.argv, "--http-protocol", "uvicorn"))
                if spec.role == QUERY
                else spec
                for spec in core_services(*arguments)
            ]

        with unittest.mock.patch("clipper.managers.local.core_services", services):
            return super().start_clipper(options)


def serve(
    connection: ClipperConnection, name: str, slo_s: float, deploy: Callable[[], None]
) -> None:
    """Register an application, deploy its model under the same name and link them."""
    connection.register_application(name, "doubles", "-1", round(slo_s * 1e6))
    deploy()
    connection.link_model_to_app(name, name)


def worker_processes(manager: LocalContainerManager) -> list[int]:
    """Return the query frontend's processes: its supervisor's children are the workers."""
    return [pid for parent in manager.child_pids()["query-frontend"] for pid in _family(parent)]


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the processor time that these processes have used; resolution 10 ms (Linux)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    """Return a process's resident memory (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def environment() -> dict[str, str]:
    """Return this process's environment, in which `benchmarks` can be imported."""
    home = str(Path(__file__).resolve().parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])}


def _wait_for_port(port: int, process: subprocess.Popen[Any]) -> None:
    give_up_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < give_up_s:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1.0):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process, by force after five seconds."""
    process.terminate()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
