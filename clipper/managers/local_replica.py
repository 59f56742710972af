"""One supervised process: started, restarted with back-off, stopped. Effects, few decisions."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clipper.managers import local_launcher
from clipper.managers.deaths import explain_exit
from clipper.managers.local_plan import ServiceSpec
from clipper.managers.local_policy import RestartHistory
from clipper.managers.local_processes import signal_group

CANNOT_START_STATUS = 127
"""Exit status of a command that cannot be executed, as in the shell."""

_log = logging.getLogger(__name__)


class Replica:
    """Keeps one process of a service running until it is stopped.

    Owned by the supervisor's event loop. ``on_change`` is called after every start and end of the
    process.
    """

    def __init__(
        self, spec: ServiceSpec, index: int, log: Path, cwd: Path, on_change: Callable[[], None]
    ) -> None:
        self.spec_identity = spec.identity()
        self._spec = spec
        self._index = index
        self._log_file = log
        self._cwd = cwd
        self._on_change = on_change
        self._history = RestartHistory()
        self._process: asyncio.subprocess.Process | None = None
        self._started_s = 0.0
        self._stopping = asyncio.Event()
        self._first_start = asyncio.Event()
        self._task = asyncio.create_task(self._keep_running(), name=log.stem)

    @property
    def pid(self) -> int | None:
        """Number of the running process, which leads a group of its own."""
        return None if self._process is None else self._process.pid

    @property
    def deaths(self) -> int:
        """How often the process ended without being asked to."""
        return self._history.restarts

    def status(self) -> dict[str, Any]:
        """Return the row of this process in the cluster's status."""
        uptime_s = None if self._process is None else time.monotonic() - self._started_s
        state = "stopping" if self._stopping.is_set() else "running"
        return {
            "role": self._spec.role,
            "index": self._index,
            "pid": self.pid,
            "state": state if self._process is not None else "waiting to restart",
            "restarts": self._history.restarts,
            "early_deaths": self._history.early_deaths,
            "last_exit": self._history.last_exit,
            "uptime_s": uptime_s,
            "log": str(self._log_file),
        }

    async def started(self) -> None:
        """Wait until the process was started once."""
        await self._first_start.wait()

    async def stop(self, grace_s: float) -> None:
        """End the process: ask, wait ``grace_s``, kill its group. Returns when it is gone.

        May be called again with less grace while a first call waits.
        """
        self._stopping.set()
        if grace_s > 0:
            self._signal_leader(signal.SIGTERM)
            await asyncio.wait([self._task], timeout=grace_s)
        while not self._task.done():
            if self._process is not None:
                signal_group(self._process.pid, signal.SIGKILL)
            # A process that was being started appears here a moment later.
            await asyncio.wait([self._task], timeout=0.1)

    async def _keep_running(self) -> None:
        while not self._stopping.is_set():
            status = await self._run_once()
            if self._stopping.is_set():
                break
            delay_s = self._history.observe_exit(status, time.monotonic() - self._started_s)
            self._on_change()
            _log.warning("%s %s; restart in %.1f s", self._name, explain_exit(status), delay_s)
            try:
                await asyncio.wait_for(self._stopping.wait(), delay_s)
            except TimeoutError:
                pass
        self._on_change()

    async def _run_once(self) -> int:
        try:
            await self._start()
        except OSError as error:
            _log.error("%s cannot be started: %s", self._name, error)
            self._started_s = time.monotonic()
            self._first_start.set()
            return CANNOT_START_STATUS
        return await self._wait_for_end()

    async def _start(self) -> None:
        argv = [sys.executable, "-I", "-S", local_launcher.__file__, str(os.getpid())]
        with self._log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *argv,
                *self._spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._cwd,
                env=_environment(os.environ, self._spec.env),
                start_new_session=True,
            )
        self._process, self._started_s = process, time.monotonic()
        self._first_start.set()
        self._on_change()
        _log.info("%s started, pid %d", self._name, process.pid)
        if self._stopping.is_set():
            self._signal_leader(signal.SIGTERM)

    async def _wait_for_end(self) -> int:
        process = self._process
        assert process is not None
        status = await process.wait()
        # Workers that outlived their parent would keep its ports.
        signal_group(process.pid, signal.SIGKILL)
        self._process = None
        return status

    def _signal_leader(self, number: int) -> None:
        """Signal the process alone: a leader stops its workers in its own order."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    @property
    def _name(self) -> str:
        return f"{self._spec.role} #{self._index}"


def _environment(base: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**base, **changes}
    return {name: value for name, value in merged.items() if value is not None}
