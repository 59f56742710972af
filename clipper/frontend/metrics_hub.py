"""One answer for all workers: whichever is scraped returns the sum (design decision 16).

The supervisor runs the hub on a Unix socket. Each worker keeps one connection, pushes a snapshot
every second and at its end, and when scraped asks for everybody's::

    worker  -> hub   ["hello", pid, null]  ["push", id or null, parts]  ["ask", id, parts]
    hub  -> worker   ["refresh", id, null]                              ["merged", id, parts]
    both ways        ["part", index, snapshot of some series]

Messages are JSON behind a four-byte length. A thousand applications have thousands of series, and
whoever reads, sends or renders them all at once keeps queries waiting for tens of milliseconds. So
each snapshot goes in parts, one each time the event loop comes round; their index counts from 0.
The message that ends them tells how many they were, and if some are missing, for whatever reason,
all are dropped. A snapshot is thus taken over some milliseconds; each count in it is exact, and
never less than in the snapshot before.

A worker that does not refresh in time is counted with what it pushed last. What a worker counted
outlives it, up to its last whole push; its gauges do not. Nothing here waits for ever, and no
failure here reaches a prediction.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from clipper.frontend.metrics_wire import (
    END_TIMEOUT_S,
    Connection,
    IncomingParts,
    Message,
    Replies,
)
from clipper.metrics.parts import join, split
from clipper.metrics.snapshot import Snapshot, empty_snapshot, keep_known, merge, retain

_log = logging.getLogger(__name__)


class WorkerLedger:
    """The latest snapshot of each live worker, and what the dead ones have counted."""

    def __init__(self) -> None:
        self._latest: dict[int, Snapshot] = {}
        self._retained = empty_snapshot()

    def update(self, pid: int, snapshot: Snapshot) -> None:
        """Take a worker's newer snapshot."""
        self._latest[pid] = snapshot

    def bury(self, pid: int) -> None:
        """Keep the counts of a worker that is gone for ever."""
        last = self._latest.pop(pid, None)
        if last is not None:
            self._retained = merge([self._retained, retain(last)])

    def merged(self) -> Snapshot:
        """Return the sum, without dead workers' counts of what has been deleted since."""
        live = list(self._latest.values())
        return merge([*live, keep_known(self._retained, live)])


class _Peer(NamedTuple):
    """A connected worker, as the hub sees it."""

    pid: int
    connection: Connection
    refreshes: Replies
    task: asyncio.Task[None]


class MetricsHub:
    """The supervisor's end: keeps the ledger and answers scrapes."""

    def __init__(self, socket_path: str, refresh_timeout_s: float = 0.2) -> None:
        self._socket_path = socket_path
        self._refresh_timeout_s = refresh_timeout_s
        self._ledger = WorkerLedger()
        self._peers: list[_Peer] = []
        self._exited: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the socket cannot be created.
        """
        self._server = await asyncio.start_unix_server(self._accept, self._socket_path)

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def worker_started(self, pid: int) -> None:
        """A process was started that may connect."""
        self._exited.discard(pid)

    async def worker_exited(self, pid: int) -> None:
        """Keep the counts of a process that has been reaped, its last words included."""
        self._exited.add(pid)
        reading = {peer.task for peer in self._peers if peer.pid == pid}
        if reading:
            await asyncio.wait(reading, timeout=END_TIMEOUT_S)
        self._ledger.bury(pid)

    def merged(self) -> Snapshot:
        """Return the sum of what workers have sent so far."""
        return self._ledger.merged()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._run(self._serve(Connection(reader, writer)))

    async def _serve(self, connection: Connection) -> None:
        try:
            hello = await connection.receive()
            if hello is not None and hello.kind == "hello" and hello.id is not None:
                await self._serve_worker(hello.id, connection)
        except ValueError as error:
            _log.warning("dropped a connection to the metrics hub: %s", error)
        finally:
            await connection.close()

    async def _serve_worker(self, pid: int, connection: Connection) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = _Peer(pid, connection, Replies(), task)
        incoming = IncomingParts()
        self._peers.append(peer)
        try:
            while (message := await connection.receive()) is not None:
                if message.kind == "part":
                    incoming.add(message.id, message.body)
                else:
                    self._snapshot_ended(peer, message, incoming.whole(message.body))
        finally:
            self._peers.remove(peer)
            peer.refreshes.give_up()
            # The process may have been reaped before its connection was even accepted.
            if pid in self._exited:
                self._ledger.bury(pid)

    def _snapshot_ended(self, peer: _Peer, message: Message, whole: Snapshot | None) -> None:
        if whole is not None:
            self._ledger.update(peer.pid, whole)
        if message.kind == "ask":
            self._run(self._answer(peer, message.id))
        else:
            peer.refreshes.resolve(message.id, None)

    async def _answer(self, asker: _Peer, number: int | None) -> None:
        waiting = set()
        for peer in self._peers:
            if peer is not asker:
                refresh, future = peer.refreshes.expect()
                peer.connection.send("refresh", refresh)
                waiting.add(future)
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=self._refresh_timeout_s)
            for future in late:
                future.cancel()
        await asker.connection.send_parts("merged", number, split(self.merged()))

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class MetricsHubClient:
    """A worker's end: pushes its snapshots and asks for the sum.

    Args:
        socket_path: the hub's socket; None when there is no hub, and the worker is all there is.
        snapshot: yields what this worker has measured, in parts, each of which is a short step;
            called every second and when scraped. A part may be empty.
    """

    def __init__(
        self,
        socket_path: str | None,
        snapshot: Callable[[], Iterator[Snapshot]],
        push_interval_s: float = 1.0,
        ask_timeout_s: float = 1.0,
    ) -> None:
        self._socket_path = socket_path
        self._snapshot = snapshot
        self._push_interval_s = push_interval_s
        self._ask_timeout_s = ask_timeout_s
        self._connection: Connection | None = None
        self._incoming = IncomingParts()
        self._answers = Replies()
        self._pushing: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect if the hub is there; go on trying in the background if it is not."""
        await self._connect()
        self._pushing = asyncio.create_task(self._push_for_ever())

    async def merged_snapshot(self) -> Snapshot:
        """Return the sum of all workers now; this worker's own when the hub does not answer."""
        if self._connection is None:
            return await self._own()
        merged = await self._ask(self._connection)
        if merged is None:
            _log.warning("the metrics hub does not answer: showing this worker's metrics only")
            return await self._own()
        return merged

    async def stop(self) -> None:
        """Push once more and disconnect."""
        await _cancel([self._pushing])
        if self._connection is not None:
            connection = self._connection
            await connection.send_parts("push", None, self._snapshot())
            await connection.close()
        await _cancel([self._reading])

    async def _own(self) -> Snapshot:
        parts: list[Snapshot] = []
        for part in self._snapshot():
            parts.append(part)
            await asyncio.sleep(0)
        return join(parts)

    async def _ask(self, connection: Connection) -> Snapshot | None:
        number, answer = self._answers.expect()
        try:
            if not await connection.send_parts("ask", number, self._snapshot()):
                return None
            while not answer.done():
                received = self._incoming.received
                await asyncio.wait({answer}, timeout=self._ask_timeout_s)
                if not answer.done() and received == self._incoming.received:
                    return None
            merged: Snapshot | None = answer.result()
            return merged
        finally:
            answer.cancel()

    async def _push_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._push_interval_s)
            if self._connection is None:
                await self._connect()
            try:
                if self._connection is None:
                    # Taken without a hub too: looking is what moves the meters' averages.
                    await self._own()
                else:
                    await self._connection.send_parts("push", None, self._snapshot())
            except Exception:
                _log.exception("this worker's metrics cannot be read")

    async def _connect(self) -> None:
        if self._socket_path is None:
            return
        try:
            streams = await asyncio.open_unix_connection(self._socket_path)
        except OSError as error:
            _log.warning("the metrics hub at %s cannot be reached: %s", self._socket_path, error)
            return
        self._connection = Connection(*streams)
        self._connection.send("hello", os.getpid())
        self._reading = asyncio.create_task(self._read(self._connection))

    async def _read(self, connection: Connection) -> None:
        incoming = self._incoming = IncomingParts()
        try:
            while (message := await connection.receive()) is not None:
                if message.kind == "part":
                    incoming.add(message.id, message.body)
                elif message.kind == "merged":
                    self._answers.resolve(message.id, incoming.whole(message.body))
                else:
                    await connection.send_parts("push", message.id, self._snapshot())
                # Messages that are there already are read without a pause otherwise.
                await asyncio.sleep(0)
        except ValueError as error:
            _log.warning("the metrics hub speaks nonsense: %s", error)
        finally:
            self._connection = None
            self._answers.give_up()
            await connection.close()


async def _cancel(tasks: Iterable[asyncio.Task[None] | None]) -> None:
    for task in tasks:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
