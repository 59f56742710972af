"""What the tests of the store share: records, a watcher of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from clipper.datatypes import InputType, OnDefault
from clipper.store.base import (
    ApplicationRecord,
    Change,
    ConfigSnapshot,
    ModelRecord,
    ReplicaRecord,
    WorkerLease,
)
from clipper.store.redis import RedisStore

APP = ApplicationRecord(
    "hello", InputType.DOUBLES, "-1.0", 100_000, on_default=OnDefault.ERROR, isolate_cache=True
)
MODEL = ModelRecord(
    "m",
    "1",
    InputType.STRINGS,
    ("a", "ü"),
    "reg/img:1",
    batch_size=7,
    probe_input='"x"',
    cache=False,
)
REPLICA = ReplicaRecord(MODEL.id, 3, "host-1", InputType.STRINGS, "ready")
LEASE = WorkerLease("w1", "127.0.0.1:7000", 5, 2, (REPLICA,))


def always(change: Change) -> Callable[[ConfigSnapshot], Change]:
    return lambda snapshot: change


async def eventually(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - any condition, nobody signals it
            await asyncio.sleep(0.01)


class Watcher:
    """Counts what `changes` yields."""

    def __init__(self, store: RedisStore) -> None:
        self.count = 0
        self._iterator: AsyncIterator[None] = store.changes()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for _ in self._iterator:
            self.count += 1

    async def stop(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task
