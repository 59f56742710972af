"""The supervisor process of a local cluster: owns, restarts and stops every other process.

``python -m clipper.managers.local_supervisor <state_dir>`` with the plan as JSON on standard
input (``{"cluster": …, "services": […]}``). The command returns as soon as the supervisor runs in
the background and listens on its Unix socket, or with status 75 if another one holds the state
directory.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from typing import Any

from clipper.logs import setup_logging
from clipper.managers.local_logs import keep_bounded
from clipper.managers.local_plan import ServiceSpec
from clipper.managers.local_processes import ProcessIdentity, sweep
from clipper.managers.local_protocol import serve_requests
from clipper.managers.local_services import Services
from clipper.managers.local_state import StateDir, acquire_lock

LOCKED_STATUS = 75
"""Exit status (EX_TEMPFAIL): another supervisor owns the state directory."""

_LOCK_TIMEOUT_S = 0.2

_log = logging.getLogger(__name__)


def main() -> None:
    """Take the state directory, go to the background and supervise until told to stop."""
    state = StateDir(sys.argv[1])
    plan = json.load(sys.stdin)
    # Not closed on purpose: the lock lives exactly as long as this process.
    if acquire_lock(state.lock_file, _LOCK_TIMEOUT_S) is None:
        sys.exit(LOCKED_STATUS)
    # After the lock, because a supervisor that is just ending removes its sockets.
    state.create()
    sweep(state.children_file)
    listener = _listen(state)
    if os.fork():
        os._exit(0)
    _detach(state)
    setup_logging("supervisor")
    asyncio.run(_supervise(state, listener, plan))


def _listen(state: StateDir) -> socket.socket:
    path = state.supervisor_socket
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(16)
    return listener


def _detach(state: StateDir) -> None:
    """Leave the terminal and the starter's pipes; write to a log file from now on."""
    os.setsid()
    os.chdir(state.work)
    log = os.open(state.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)


async def _supervise(state: StateDir, listener: socket.socket, plan: dict[str, Any]) -> None:
    identity = ProcessIdentity.of(os.getpid())
    watchdog = _start_watchdog(state, identity)
    services = Services(state, identity, plan["cluster"])
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    specs = [ServiceSpec.from_json(value) for value in plan["services"]]
    starting = asyncio.create_task(services.start(specs))
    bounding = asyncio.create_task(keep_bounded(state.logs))
    server = await serve_requests(listener, services, stop)
    try:
        await stop.wait()
        starting.cancel()
        await services.stop(graceful=True)
        await asyncio.gather(starting, return_exceptions=True)
    finally:
        server.close()
        bounding.cancel()
        _end_watchdog(watchdog)
        state.remove_sockets()
    _log.info("stopped")


def _start_watchdog(state: StateDir, identity: ProcessIdentity) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "clipper.managers.local_watchdog", str(state.children_file)]
    return subprocess.Popen(
        [*argv, str(identity.pid), str(identity.started)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _end_watchdog(watchdog: subprocess.Popen[bytes]) -> None:
    assert watchdog.stdin is not None
    watchdog.stdin.close()
    try:
        watchdog.wait(timeout=10)
    except subprocess.TimeoutExpired:
        watchdog.kill()


if __name__ == "__main__":
    main()
