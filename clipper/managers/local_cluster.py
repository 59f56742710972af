"""Starting, asking and ending the supervisor of a state directory, from any process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import clipper
from clipper.errors import ClipperException, ContainerStartError
from clipper.managers.local_processes import ProcessIdentity, read_supervisor, sweep
from clipper.managers.local_protocol import SupervisorAbsent, request
from clipper.managers.local_services import GRACE_S
from clipper.managers.local_state import StateDir, acquire_lock, locked
from clipper.managers.local_supervisor import LOCKED_STATUS

CHANGE_LIMIT_S = GRACE_S + 20.0
"""Seconds for a change that may drain replicas."""

_LAUNCH_LIMIT_S = 30.0
_STOP_LIMIT_S = 4 * GRACE_S + 10.0  # four ranks drain one after the other
_KILL_LIMIT_S = 10.0
_EXIT_LIMIT_S = 5.0
_DYING_LIMIT_S = 1.0
"""How long a supervisor that was just killed may still hold its lock."""


class AlreadyRunning(ClipperException):
    """Another supervisor owns the state directory."""


def prepare(state: StateDir) -> None:
    """Make the directory ready for a new supervisor; kill what a dead one left.

    Raises:
        AlreadyRunning: a supervisor lives.
    """
    state.create()
    with locked(state.lock_file, _DYING_LIMIT_S) as acquired:
        if not acquired:
            raise AlreadyRunning(f"A supervisor owns {state.root}.")
        sweep(state.children_file)
        state.create()


def launch(state: StateDir, plan: Mapping[str, Any]) -> None:
    """Start a supervisor with the plan (see `local_supervisor`); returns when it listens.

    Raises:
        AlreadyRunning: a supervisor lives.
        ContainerStartError: it did not come up.
    """
    try:
        result = subprocess.run(
            [sys.executable, "-m", "clipper.managers.local_supervisor", str(state.root)],
            input=json.dumps(plan),
            capture_output=True,
            text=True,
            cwd=state.work,
            env={**os.environ, "PYTHONPATH": _python_path(os.environ.get("PYTHONPATH", ""))},
            start_new_session=True,
            timeout=_LAUNCH_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ContainerStartError("The supervisor did not start in time.") from error
    except (KeyboardInterrupt, SystemExit):
        # It may be in the background already; who interrupts a start wants nothing left of it.
        end(state, graceful=False)
        raise
    if result.returncode == LOCKED_STATUS:
        raise AlreadyRunning(f"A supervisor owns {state.root}.")
    if result.returncode != 0:
        raise ContainerStartError(f"The supervisor did not start:\n{result.stderr.strip()}")


def is_running(state: StateDir) -> bool:
    """Return whether a supervisor answers."""
    try:
        request(state.supervisor_socket, {"op": "status"}, 5.0)
    except SupervisorAbsent:
        return False
    return True


def end(state: StateDir, graceful: bool) -> None:
    """Stop every process of the state directory; what it declares stays. Idempotent.

    Works also when the supervisor is dead or does not react; the latter is killed.

    Raises:
        ClipperException: a supervisor lives that can be neither asked nor found.
    """
    if not state.root.is_dir():
        return
    limit_s = _STOP_LIMIT_S if graceful else _KILL_LIMIT_S
    supervisor = read_supervisor(state.children_file)
    deadline = time.monotonic() + limit_s
    while (lock := _ask_to_stop(state, graceful, limit_s)) is None:
        if time.monotonic() > deadline:
            lock = _kill_supervisor(state)
            break
    try:
        _wait_for_exit(supervisor)
        sweep(state.children_file)
        state.remove_sockets()
    finally:
        os.close(lock)


def delete(state: StateDir) -> None:
    """Remove the state directory of a stopped cluster with all its data. Idempotent.

    Raises:
        ClipperException: the cluster runs.
    """
    if not state.root.is_dir():
        return
    with locked(state.lock_file) as acquired:
        if not acquired:
            raise ClipperException(
                f"The cluster in {state.root} runs; stop it first (stop_all or `clipper down`)."
            )
        state.remove()


def _ask_to_stop(state: StateDir, graceful: bool, limit_s: float) -> int | None:
    """Return the lock of a state directory without supervisor, or None if one still lives."""
    patience_s = 0.2
    try:
        request(state.supervisor_socket, {"op": "stop", "graceful": graceful}, limit_s)
        patience_s = 5.0
    except SupervisorAbsent:
        # It may be about to listen, or about to exit: the lock tells.
        pass
    except ClipperException:
        pass
    return acquire_lock(state.lock_file, patience_s)


def _wait_for_exit(supervisor: ProcessIdentity | None) -> None:
    """Wait out the moment between a process's loss of its lock and its end."""
    deadline = time.monotonic() + _EXIT_LIMIT_S
    while supervisor is not None and supervisor.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)


def _kill_supervisor(state: StateDir) -> int:
    supervisor = read_supervisor(state.children_file)
    if supervisor is not None and supervisor.is_alive():
        os.kill(supervisor.pid, signal.SIGKILL)
    lock = acquire_lock(state.lock_file, 5.0)
    if lock is None:
        raise ClipperException(f"The supervisor of {state.root} does not end; kill it by hand.")
    return lock


def _python_path(inherited: str) -> str:
    """Return the import path for processes that start in another working directory."""
    entries = [os.path.abspath(entry) for entry in inherited.split(os.pathsep) if entry]
    package_home = Path(clipper.__file__).resolve().parent.parent
    if package_home.name not in ("site-packages", "dist-packages"):
        entries.insert(0, str(package_home))
    return os.pathsep.join(dict.fromkeys(entries))
