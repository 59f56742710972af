"""One answer for all workers: whichever is scraped returns the sum (design decision 16).

The supervisor runs the hub on a Unix socket. Each worker keeps one connection, pushes a snapshot
every second and at its end, and when scraped asks for everybody's::

    worker  -> hub   ["hello", pid, null]  ["push", id or null, snapshot]  ["ask", id, snapshot]
    hub  -> worker   ["refresh", id, null]                                 ["merged", id, snapshot]

Messages are JSON behind a four-byte length. A worker that does not refresh in time is counted with
what it pushed last. What a worker counted outlives it, up to its last push; its gauges do not.
Nothing here waits for ever, and no failure here reaches a prediction.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from clipper.metrics.snapshot import Snapshot, empty_snapshot, keep_known, merge, retain

_log = logging.getLogger(__name__)
_HEADER = struct.Struct(">I")
_MAX_MESSAGE_BYTES = 64 << 20
_MAX_UNSENT_BYTES = 4 << 20
_END_TIMEOUT_S = 1.0


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


class _Message(NamedTuple):
    kind: str
    id: int | None
    body: Any


class _Connection:
    """Messages over one stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, kind: str, number: int | None, body: Snapshot | None = None) -> None:
        """Queue a message; dropped when the other side has stopped reading or is gone."""
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            return
        data = json.dumps([kind, number, body], separators=(",", ":")).encode()
        self._writer.write(_HEADER.pack(len(data)) + data)

    async def receive(self) -> _Message | None:
        """Return the next message; None when the connection has ended.

        Raises:
            ValueError: the bytes are no message.
        """
        try:
            (size,) = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
            if size > _MAX_MESSAGE_BYTES:
                raise ValueError(f"a message of {size} bytes")
            kind, number, body = json.loads(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return _Message(kind, number, body)

    async def close(self) -> None:
        """Send what is queued, within a second, and close."""
        self._writer.close()
        with contextlib.suppress(TimeoutError, OSError):
            await asyncio.wait_for(self._writer.wait_closed(), _END_TIMEOUT_S)


class _Replies:
    """Numbered questions that wait for their answers."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)

    def expect(self) -> tuple[int, asyncio.Future[Any]]:
        """Return a number, and the future of the answer that will carry it."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._waiting.pop(number, None))
        return number, future

    def resolve(self, number: int | None, answer: Any) -> None:
        """Hand an answer to whoever still waits for it."""
        future = self._waiting.get(number) if number is not None else None
        if future is not None and not future.done():
            future.set_result(answer)

    def give_up(self) -> None:
        """End every wait with None."""
        for number in list(self._waiting):
            self.resolve(number, None)


class _Peer(NamedTuple):
    """A connected worker, as the hub sees it."""

    pid: int
    connection: _Connection
    refreshes: _Replies
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
            await asyncio.wait(reading, timeout=_END_TIMEOUT_S)
        self._ledger.bury(pid)

    def merged(self) -> Snapshot:
        """Return the sum of what workers have sent so far."""
        return self._ledger.merged()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._run(self._serve(_Connection(reader, writer)))

    async def _serve(self, connection: _Connection) -> None:
        try:
            hello = await connection.receive()
            if hello is not None and hello.kind == "hello" and hello.id is not None:
                await self._serve_worker(hello.id, connection)
        except ValueError as error:
            _log.warning("dropped a connection to the metrics hub: %s", error)
        finally:
            await connection.close()

    async def _serve_worker(self, pid: int, connection: _Connection) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = _Peer(pid, connection, _Replies(), task)
        self._peers.append(peer)
        try:
            while (message := await connection.receive()) is not None:
                self._ledger.update(pid, message.body)
                if message.kind == "ask":
                    self._run(self._answer(peer, message.id))
                else:
                    peer.refreshes.resolve(message.id, None)
        finally:
            self._peers.remove(peer)
            peer.refreshes.give_up()
            # The process may have been reaped before its connection was even accepted.
            if pid in self._exited:
                self._ledger.bury(pid)

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
        asker.connection.send("merged", number, self.merged())

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class MetricsHubClient:
    """A worker's end: pushes its snapshots and asks for the sum.

    Args:
        socket_path: the hub's socket; None when there is no hub, and the worker is all there is.
        snapshot: returns what this worker has measured; called every second and when scraped.
    """

    def __init__(
        self,
        socket_path: str | None,
        snapshot: Callable[[], Snapshot],
        push_interval_s: float = 1.0,
        ask_timeout_s: float = 1.0,
    ) -> None:
        self._socket_path = socket_path
        self._snapshot = snapshot
        self._push_interval_s = push_interval_s
        self._ask_timeout_s = ask_timeout_s
        self._connection: _Connection | None = None
        self._answers = _Replies()
        self._pushing: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect if the hub is there; go on trying in the background if it is not."""
        await self._connect()
        self._pushing = asyncio.create_task(self._push_for_ever())

    async def merged_snapshot(self) -> Snapshot:
        """Return the sum of all workers now; this worker's own when the hub does not answer."""
        own = self._snapshot()
        if self._connection is None:
            return own
        number, future = self._answers.expect()
        self._connection.send("ask", number, own)
        try:
            merged: Snapshot | None = await asyncio.wait_for(future, self._ask_timeout_s)
        except TimeoutError:
            merged = None
        if merged is None:
            _log.warning("the metrics hub does not answer: showing this worker's metrics only")
        return own if merged is None else merged

    async def stop(self) -> None:
        """Push once more and disconnect."""
        await _cancel([self._pushing])
        if self._connection is not None:
            self._connection.send("push", None, self._snapshot())
            await self._connection.close()
        await _cancel([self._reading])

    async def _push_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._push_interval_s)
            if self._connection is None:
                await self._connect()
            try:
                # Taken without a hub too: looking is what moves the meters' averages.
                snapshot = self._snapshot()
            except Exception:
                _log.exception("this worker's metrics cannot be read")
                continue
            if self._connection is not None:
                self._connection.send("push", None, snapshot)

    async def _connect(self) -> None:
        if self._socket_path is None:
            return
        try:
            streams = await asyncio.open_unix_connection(self._socket_path)
        except OSError as error:
            _log.warning("the metrics hub at %s cannot be reached: %s", self._socket_path, error)
            return
        self._connection = _Connection(*streams)
        self._connection.send("hello", os.getpid())
        self._reading = asyncio.create_task(self._read(self._connection))

    async def _read(self, connection: _Connection) -> None:
        try:
            while (message := await connection.receive()) is not None:
                if message.kind == "refresh":
                    connection.send("push", message.id, self._snapshot())
                else:
                    self._answers.resolve(message.id, message.body)
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
