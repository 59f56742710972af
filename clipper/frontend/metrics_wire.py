"""Messages between the metrics hub and its clients; `metrics_hub` says which there are.

A message is JSON behind a four-byte length. Snapshots go in parts, one each time the event loop
comes round, and the message that ends them tells their number: what is not whole is not taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from clipper.metrics.parts import join
from clipper.metrics.snapshot import Snapshot

END_TIMEOUT_S = 1.0
"""Longest wait for the other side to read or to end."""
_HEADER = struct.Struct(">I")
_MAX_MESSAGE_BYTES = 64 << 20
_MAX_UNSENT_BYTES = 4 << 20


class Message(NamedTuple):
    """One message; what ``id`` and ``body`` are depends on its kind."""

    kind: str
    id: int | None
    body: Any


class Connection:
    """Messages over one stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sending_parts = asyncio.Lock()

    def send(self, kind: str, number: int | None, body: Snapshot | int | None = None) -> bool:
        """Queue a message; False: the other side has stopped reading or is gone."""
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            return False
        data = json.dumps([kind, number, body], separators=(",", ":")).encode()
        self._writer.write(_HEADER.pack(len(data)) + data)
        return True

    async def send_parts(self, kind: str, number: int | None, parts: Iterable[Snapshot]) -> bool:
        """Send a snapshot as its parts come, and the message that makes it whole.

        One snapshot is sent after the other, and read only when it is its turn: so a later one
        never counts less.

        Args:
            kind: of the message that ends the parts.
            number: its id.
            parts: read one each time the event loop comes round; may contain empty ones.

        Returns:
            False when the other side has stopped reading or is gone, and will not have it whole.
        """
        async with self._sending_parts:
            count = 0
            for part in parts:
                if part["families"]:
                    if not (self.send("part", count, part) and await self._drained()):
                        return False
                    count += 1
                await asyncio.sleep(0)
            return self.send(kind, number, count)

    async def receive(self) -> Message | None:
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
        return Message(kind, number, body)

    async def close(self) -> None:
        """Send what is queued, within a second, and close."""
        self._writer.close()
        with contextlib.suppress(TimeoutError, OSError):
            await asyncio.wait_for(self._writer.wait_closed(), END_TIMEOUT_S)

    async def _drained(self) -> bool:
        """Wait until the other side keeps up; False when it does not within a second."""
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await self._writer.drain()
        except (TimeoutError, ConnectionError):
            return False
        return True


class IncomingParts:
    """Makes received parts whole, or drops them."""

    def __init__(self) -> None:
        self.received = 0
        """How many parts have come so far."""
        self._parts: list[Snapshot] = []

    def add(self, index: int | None, part: Snapshot) -> None:
        """Keep a part; the first one ends what was left unfinished before."""
        self.received += 1
        if index == 0:
            self._parts.clear()
        if index == len(self._parts):
            self._parts.append(part)

    def whole(self, count: int | None) -> Snapshot | None:
        """Return the snapshot of ``count`` parts; None when not all of them have come."""
        parts, self._parts = self._parts, []
        return join(parts) if len(parts) == count else None


class Replies:
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
