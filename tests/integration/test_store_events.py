"""When the store reports that something has changed."""

from __future__ import annotations

import asyncio

import pytest

from clipper.store.base import (
    Change,
)
from clipper.store.redis import RedisSettings, RedisStore
from tests.integration.store_support import Watcher, always, eventually


async def test_changes_yields_at_once_on_events_and_once_for_a_burst(store: RedisStore) -> None:
    watcher = Watcher(store)
    await eventually(lambda: watcher.count == 1)
    await store.update(always(Change(links={"a": ("m",)})))
    await eventually(lambda: watcher.count >= 2, timeout_s=2)
    await watcher.stop()


async def test_a_slow_reader_gets_a_burst_of_changes_once(store: RedisStore) -> None:
    changes = store.changes()
    await anext(changes)
    for number in range(20):
        await store.update(always(Change(links={"a": (str(number),)})))
    await anext(changes)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await anext(changes)


async def test_changes_yields_after_a_silence(store_url: str) -> None:
    quiet = RedisStore(store_url, "test", RedisSettings(event_silence_s=0.05))
    watcher = Watcher(quiet)
    await eventually(lambda: watcher.count >= 4, timeout_s=5)
    await watcher.stop()
    await quiet.close()
