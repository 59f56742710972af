"""Starts one rival, waits until it answers rightly, and ends it."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.peers import processes
from benchmarks.peers.rival import SETTINGS_VARIABLE, Launch, Request, Rival
from benchmarks.peers.workload import DIRECTORY_VARIABLE, WORKLOAD_VARIABLE, load, right, samples
from clipper.managers.ports import free_port

HOST = "127.0.0.1"
_REPOSITORY = Path(__file__).resolve().parents[2]
_START_LIMIT_S = 120.0
_REQUEST_LIMIT_S = 30.0
_PORTS = 6
"""Some servers need ports for metrics and management beside the first."""
_CHECKED_INPUTS = 64
_CHECK_THREADS = 16
_LOG_LINES = 30


class ServerFailedError(Exception):
    """A server did not start, or answers wrongly; the text has the end of its log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    rival: Rival
    port: int
    marker: str

    def cpu_seconds(self) -> float:
        """Return the processor time of all its processes so far."""
        return processes.cpu_seconds(processes.members(self.marker))


@contextlib.contextmanager
def running(
    rival: Rival, python: Path, workload: str, objective_s: float, models: Path
) -> Iterator[Server]:
    """Run ``rival`` for the block; its answers have been compared with the model's.

    Args:
        python: interpreter of the rival's own environment.
        models: where `workload.prepare` saved the models.

    Raises:
        ServerFailedError: it ended, did not answer in time, or answered wrongly.
    """
    settings = rival.settings(workload, objective_s)
    marker = uuid.uuid4().hex
    # Short, since some put Unix sockets in it.
    with tempfile.TemporaryDirectory(prefix="p", dir="/tmp", ignore_cleanup_errors=True) as name:
        launch = Launch(free_port(HOST, _PORTS), workload, objective_s, Path(name), python)
        command = rival.command(launch, settings)
        environment = {
            **os.environ,
            **_single_threaded(),
            "PYTHONPATH": str(_REPOSITORY),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            processes.MARKER_VARIABLE: marker,
            SETTINGS_VARIABLE: json.dumps(settings),
            WORKLOAD_VARIABLE: workload,
            DIRECTORY_VARIABLE: str(models),
            **rival.environment(launch),
        }
        log = launch.workdir / "log.txt"
        with processes.guarded(marker), log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=launch.workdir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the harness, which then ends the server
            )
            try:
                _wait_until_right(rival, launch, process, load(workload, models), log)
                yield Server(rival, launch.port, marker)
            finally:
                with _uninterrupted():
                    _end(process, marker)


def ask(port: int, request: Request) -> bytes:
    """Send one request and return the body of the answer.

    Raises:
        OSError, http.client.HTTPException: no answer.
        ValueError: another status than 200.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=_REQUEST_LIMIT_S)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", request.path, request.body, headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"status {response.status}: {body[:300]!r}")
    return body


def answers(rival: Rival, port: int, inputs: Sequence[Sequence[float]]) -> list[float]:
    """Ask for all inputs, many at a time so that they meet in batches."""
    with ThreadPoolExecutor(_CHECK_THREADS) as pool:
        bodies = pool.map(lambda values: ask(port, rival.request(values)), inputs)
        return [rival.answer(body) for body in bodies]


def _wait_until_right(
    rival: Rival, launch: Launch, process: subprocess.Popen[bytes], model: object, log: Path
) -> None:
    inputs = samples(launch.workload, _CHECKED_INPUTS)
    expected = [float(value) for value in model(inputs)]  # type: ignore[operator]
    give_up_s = time.monotonic() + _START_LIMIT_S
    problem: object = "no answer"
    while time.monotonic() < give_up_s:
        if process.poll() is not None:
            raise ServerFailedError(f"{rival.name} ended with {process.returncode}\n{_tail(log)}")
        try:
            ask(launch.port, rival.request(inputs[0]))
            given = answers(rival, launch.port, inputs)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            # Also answers like "not ready yet", and a first batch that took too long.
            problem = error
            time.sleep(0.2)
            continue
        if right(given, expected):
            return
        raise ServerFailedError(f"{rival.name} answers {given}, the model {expected}")
    raise ServerFailedError(f"{rival.name} is not ready: {problem}\n{_tail(log)}")


def _single_threaded() -> dict[str, str]:
    # As Clipper starts its own containers: a model must not fight with itself for the processors.
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, "1")


def _end(process: subprocess.Popen[bytes], marker: str) -> None:
    processes.end(marker, process.pid)
    process.wait()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not stop the end of a server half-way."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
