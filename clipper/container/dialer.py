"""Keeps a stream to every frontend worker: dials, waits, dials again, for ever.

Lives on the I/O loop, one task per worker and one for the entry address. The entry address finds
the first worker, which lists the others; after that it is dialled only while no stream is up.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from clipper.container.stream import StreamEnd, StreamOwner, WorkerStream
from clipper.container.work import Clock
from clipper.container.workers import SLOW_RETRY_S, WorkerDirectory, pause_s
from clipper.rpc.pb import model_container_pb2 as pb

_log = logging.getLogger(__name__)

_RECHECK_S = 1.0
_STABLE_S = 1.0
# A worker that comes back where it was is found by its own task; two at once would register twice.
_ENTRY_PATIENCE_S = 1.0


class Dialer:
    """Owns the dialling tasks.

    Args:
        entry: Address of the way in.
        register: First message on each stream.
        live: Returns the streams that are registered now.
        random: Random numbers in [0, 1).
    """

    def __init__(
        self,
        entry: str,
        register: pb.Register,
        live: Callable[[], Sequence[WorkerStream]],
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._entry = entry
        self._register = register
        self._live = live
        self._clock = clock
        self._random = random
        self._directory = WorkerDirectory()
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._change = asyncio.Event()
        self._owner: StreamOwner | None = None
        self._connected_before = False

    def start(self, owner: StreamOwner) -> None:
        """Begin to dial the entry address; ``owner`` hears of all streams."""
        self._owner = owner
        self._spawn(self._keep(self._entry_target, _ENTRY_PATIENCE_S))

    def stop_dialling(self) -> None:
        """Dial nothing more; streams that are up stay until they end."""
        self._owner = None
        self.changed()

    async def close(self) -> None:
        """Cancel all tasks, and with them the streams that are still up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def workers(self, workers: Sequence[pb.Worker]) -> None:
        """Take a worker list from a frontend and dial those that are new."""
        listed = [(str(w.worker_id), str(w.address)) for w in workers]
        for worker_id in self._directory.listed(listed, self._clock()):
            self._spawn(self._keep(functools.partial(self._worker_target, worker_id)))

    def changed(self) -> None:
        """Look again at what to dial: a stream has opened or ended."""
        self._change.set()
        self._change = asyncio.Event()

    def _entry_target(self) -> str | None:
        return "" if self._live() else self._entry

    def _worker_target(self, worker_id: str) -> str | None:
        """Address to dial; "" while the worker is connected; None when it is forgotten."""
        live = {stream.worker_id for stream in self._live()}
        if worker_id in live:
            return ""
        address = self._directory.address(worker_id, self._clock())
        # A worker that came back under a new id has its old address.
        return "" if address in self._directory.addresses_of(live) else address

    async def _keep(self, target: Callable[[], str | None], patience_s: float = 0.0) -> None:
        attempt, last_up, passive = 0, self._clock(), False
        while (address := target()) is not None and self._owner is not None:
            if not address:
                attempt, last_up, passive = 0, self._clock(), True
                await self._wait_for_change(_RECHECK_S)
                continue
            end = None
            if not passive:
                started = self._clock()
                end = await self._dial(address, self._owner)
                if end is StreamEnd.LOST and self._clock() - started >= _STABLE_S:
                    attempt, last_up = 0, self._clock()
            passive = False
            await self._pause(self._pause_s(end, attempt, last_up, patience_s))
            attempt += 1

    def _pause_s(
        self, end: StreamEnd | None, attempt: int, last_up: float, patience_s: float
    ) -> float:
        if end in (StreamEnd.REFUSED, StreamEnd.DISMISSED):
            return SLOW_RETRY_S
        pause = pause_s(attempt, self._clock() - last_up, self._random())
        return max(pause, patience_s) if self._connected_before else pause

    async def _dial(self, address: str, owner: StreamOwner) -> StreamEnd:
        stream = WorkerStream(next(self._numbers), address, owner)
        end = await stream.run(self._register)
        self._connected_before = self._connected_before or bool(stream.worker_id)
        if end is StreamEnd.DISMISSED:
            self._directory.dismissed(stream.worker_id)
        return end

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end of dialling."""
        until = self._clock() + seconds
        while self._owner is not None and (left := until - self._clock()) > 0:
            await self._wait_for_change(left)

    async def _wait_for_change(self, timeout_s: float) -> None:
        change = self._change
        try:
            async with asyncio.timeout(timeout_s):
                await change.wait()
        except TimeoutError:
            pass

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("A dialling task failed", exc_info=error)
