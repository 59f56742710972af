"""The supervisor of a query frontend's worker processes.

It owns the HTTP port, starts the workers, starts dead ones again, and runs the metrics hub. It
answers no request and imports nothing heavy. It has a single thread, which the hook between fork
and exec relies on. Workers die with it, by the kernel's hand where that is Linux.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from clipper.frontend.metrics_hub import MetricsHub
from clipper.frontend.port_claim import claim_lone_port, claim_shared_port, require_free_port

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.05
_KILL_TIMEOUT_S = 5.0
_LONGEST_DIRECTORY = 80
"""A Unix socket's path may have about 100 bytes, name included."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerPoolSettings:
    """A query frontend's workers. Times in seconds."""

    host: str = "127.0.0.1"
    """Address that the workers' HTTP and RPC ports are bound to."""
    port: int = 1337
    """HTTP port that all workers share; 0 cannot be shared."""
    rpc_port: int = 7000
    """RPC port of the first worker; the others follow one by one."""
    workers: int = 1
    port_flag: str = "--port"
    """Flag named in the error when the HTTP port is taken."""
    rpc_port_flag: str = "--rpc-port"
    """Flag named in the error when an RPC port is taken."""
    grace_s: float = 15.0
    """How long workers may drain after SIGTERM before they are killed."""
    first_delay_s: float = 0.1
    """Wait before a dead worker is started again; doubles with each death in a row."""
    max_delay_s: float = 5.0
    healthy_after_s: float = 10.0
    """A worker that lived this long starts the series of delays anew."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.workers < 1:
            raise ValueError(f"at least one worker is needed, not {self.workers}")
        if self.port == 0:
            raise ValueError(f"workers cannot share port 0: choose one with {self.port_flag}")


class RestartPolicy:
    """Decides how long to wait before one worker is started again."""

    def __init__(self, first_delay_s: float, max_delay_s: float, healthy_after_s: float) -> None:
        self._first_delay_s = first_delay_s
        self._max_delay_s = max_delay_s
        self._healthy_after_s = healthy_after_s
        self._next_delay_s = first_delay_s
        self._started_s = 0.0

    def started(self, now_s: float) -> None:
        """The worker was started."""
        self._started_s = now_s

    def exited(self, now_s: float) -> float:
        """The worker died; return the seconds to wait."""
        if now_s - self._started_s >= self._healthy_after_s:
            self._next_delay_s = self._first_delay_s
        delay_s = self._next_delay_s
        self._next_delay_s = min(2 * delay_s, self._max_delay_s)
        return delay_s


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerStart:
    """What a worker must be told when it is started."""

    index: int
    hub_socket: str
    """Path of the metrics hub's socket."""
    listen_fd: int | None
    """The listening HTTP socket of a lone worker: it outlives the worker, so that connections
    wait while a dead one is started again. Several workers bind the port with SO_REUSEPORT
    instead, so that a dead one's connections go to the others."""
    restarted: bool = False
    """It follows a worker that died."""


async def supervise(
    settings: WorkerPoolSettings, command: Callable[[WorkerStart], list[str]]
) -> int:
    """Run the workers until SIGTERM or SIGINT; return the process's exit code.

    Args:
        settings: ports, number of workers, delays.
        command: returns the argument vector of a worker. It listens on ``listen_fd`` or binds
            the HTTP port with SO_REUSEPORT; it binds RPC port ``rpc_port + index`` without, and
            drains on SIGTERM.

    Raises:
        ClipperException: a port is taken; nothing was started.
    """
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(_stop_signals())
        listen_fd = _claim_http_port(settings, stop, stack)
        for index in range(settings.workers):
            require_free_port(settings.host, settings.rpc_port + index, settings.rpc_port_flag)
        hub_path = os.path.join(stack.enter_context(_private_directory()), "metrics.sock")
        hub = MetricsHub(hub_path)
        await hub.start()
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(settings.workers):
                    start = WorkerStart(index, hub_path, listen_fd)
                    worker = _Worker(start, command, settings, hub)
                    group.create_task(worker.keep_running(stop))
        finally:
            await hub.stop()
    return 0


def _claim_http_port(
    settings: WorkerPoolSettings, stop: asyncio.Future[None], stack: contextlib.ExitStack
) -> int | None:
    """Own the HTTP port until the end; return the listening socket for a lone worker."""
    if settings.workers > 1:
        stack.enter_context(claim_shared_port(settings.host, settings.port, settings.port_flag))
        return None
    claim = claim_lone_port(settings.host, settings.port, settings.port_flag)
    stack.callback(claim.close)
    # Otherwise connections would still be taken that nobody is going to serve.
    stop.add_done_callback(lambda _: claim.close())
    return claim.fileno()


class _Worker:
    """Keeps one worker process running."""

    def __init__(
        self,
        start: WorkerStart,
        command: Callable[[WorkerStart], list[str]],
        settings: WorkerPoolSettings,
        hub: MetricsHub,
    ) -> None:
        self._name = f"worker {start.index}"
        self._start = start
        self._command = command
        self._settings = settings
        self._hub = hub

    async def keep_running(self, stop: asyncio.Future[None]) -> None:
        """Start the process, and again whenever it dies, until ``stop`` is done."""
        settings = self._settings
        policy = RestartPolicy(
            settings.first_delay_s, settings.max_delay_s, settings.healthy_after_s
        )
        while not stop.done():
            policy.started(time.monotonic())
            end = await self._run_once(stop)
            if not stop.done():
                delay_s = policy.exited(time.monotonic())
                _log.error("%s %s; starting it again in %.1f s", self._name, end, delay_s)
                await asyncio.wait({stop}, timeout=delay_s)

    async def _run_once(self, stop: asyncio.Future[None]) -> str:
        """Run the process to its end, which ``stop`` brings about; return how it ended."""
        try:
            process = _Process(self._command(self._start), self._start.listen_fd)
        except OSError as error:
            return f"cannot be started: {error}"
        self._start = dataclasses.replace(self._start, restarted=True)
        self._hub.worker_started(process.pid)
        _log.info("%s started with pid %d", self._name, process.pid)
        try:
            events: set[asyncio.Future[Any]] = {process.exited, stop}
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._end(process)
        await self._hub.worker_exited(process.pid)
        return f"(pid {process.pid}) {process.describe_end()}"

    async def _end(self, process: _Process) -> None:
        """Ask the process to end, then make it."""
        if process.exited.done():
            return
        process.send_signal(signal.SIGTERM)
        await asyncio.wait({process.exited}, timeout=self._settings.grace_s)
        if not process.exited.done():
            _log.warning(
                "%s (pid %d) has not ended %.0f s after SIGTERM: killing it",
                *(self._name, process.pid, self._settings.grace_s),
            )
            process.send_signal(signal.SIGKILL)
            await asyncio.wait({process.exited}, timeout=_KILL_TIMEOUT_S)


class _Process:
    """A child process, with its end as a future of the event loop; no thread waits for it."""

    def __init__(self, argv: list[str], listen_fd: int | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        # A group of its own: Ctrl-C in a terminal reaches the supervisor only, which forwards it.
        self._popen = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            process_group=0,
            pass_fds=() if listen_fd is None else (listen_fd,),
            preexec_fn=_death_with_parent(),
        )
        self.pid = self._popen.pid
        if sys.platform == "linux":
            self._pidfd = os.pidfd_open(self.pid)
            self._loop.add_reader(self._pidfd, self._reap)
        else:
            self._poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        self._popen.send_signal(number)

    def describe_end(self) -> str:
        """Return how the process ended, for people."""
        if not self.exited.done():
            return "does not end although it was killed"
        code = self.exited.result()
        if code >= 0:
            return f"exited with status {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.exited.set_result(self._popen.wait())

    def _poll(self) -> None:
        code = self._popen.poll()
        if code is None:
            self._loop.call_later(_POLL_S, self._poll)
        else:
            self.exited.set_result(code)


def _death_with_parent() -> Callable[[], None] | None:
    """Return a hook for the child that ties its life to this process; None where there is none."""
    if sys.platform != "linux":
        return None
    # Looked up before the fork: the child should do as little as it can.
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the call above; then no signal will ever come.
        if os.getppid() != parent:
            os._exit(1)

    return bind


@contextlib.contextmanager
def _stop_signals() -> Iterator[asyncio.Future[None]]:
    """Yield a future that SIGTERM or SIGINT completes."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def request_stop() -> None:
        if not stop.done():
            _log.info("stopping: waiting for the workers to drain")
            stop.set_result(None)

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, request_stop)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _private_directory() -> Iterator[str]:
    """Yield a directory that only this user may enter, for a Unix socket; it goes at the end."""
    base = tempfile.gettempdir()
    short = base if len(base) <= _LONGEST_DIRECTORY else "/tmp"
    with tempfile.TemporaryDirectory(prefix="clipper-", dir=short) as directory:
        yield directory
