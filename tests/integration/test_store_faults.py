"""A store server that dies, hangs, is away or holds what cannot be read."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from clipper.errors import ClipperException, StoreUnavailable
from clipper.store.base import (
    Change,
    ConfigSnapshot,
)
from clipper.store.redis import RedisSettings, RedisStore
from tests.integration.store_support import Watcher, always, eventually


async def test_a_killed_server_comes_back_with_everything(
    store: RedisStore, embedded_server
) -> None:
    watcher = Watcher(store)
    written: list[int] = []
    refused: list[str] = []

    async def keep_writing() -> None:
        for number in range(10_000):
            try:
                await store.update(always(Change(links={f"app{number}": ("m",)})))
                written.append(number)
            except StoreUnavailable as error:
                refused.append(str(error))
                await asyncio.sleep(0.01)

    writer = asyncio.create_task(keep_writing())
    await eventually(lambda: len(written) > 50)
    seen = watcher.count
    await asyncio.to_thread(embedded_server.kill)
    confirmed = list(written)
    await asyncio.to_thread(embedded_server.start)
    await eventually(lambda: len(written) > len(confirmed) + 50)
    await eventually(lambda: watcher.count > seen)
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    links = (await store.read_snapshot()).links
    assert {f"app{number}" for number in written} <= links.keys()
    assert all(embedded_server.url in text for text in refused)
    await watcher.stop()


async def test_changes_survives_a_server_that_is_away_for_a_while(
    store: RedisStore, embedded_server
) -> None:
    watcher = Watcher(store)
    await eventually(lambda: watcher.count == 1)
    await asyncio.to_thread(embedded_server.kill)
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await store.read_snapshot()
    assert watcher.count == 1
    await asyncio.to_thread(embedded_server.start)
    await eventually(lambda: watcher.count == 2)
    await watcher.stop()


async def test_a_server_that_stopped_answering_is_not_waited_for(
    store_url: str, embedded_server
) -> None:
    store = RedisStore(store_url, "test", RedisSettings(socket_timeout_s=0.1, update_timeout_s=0.5))
    await store.read_snapshot()
    os.kill(embedded_server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable):
                await store.read_leases()
            with pytest.raises(StoreUnavailable):
                await store.update(always(Change(links={"a": ("m",)})))
    finally:
        os.kill(embedded_server.pid, signal.SIGCONT)
    await store.close()


async def test_a_write_caught_by_the_kill_is_done_once_or_refused(
    store: RedisStore, embedded_server
) -> None:
    """The connection dies between decision and EXEC, and the server comes back."""
    decisions = 0

    def decide(snapshot: ConfigSnapshot) -> Change:
        nonlocal decisions
        decisions += 1
        if decisions == 1:
            embedded_server.kill()
            embedded_server.start()
        return Change(links={"app": (*snapshot.links.get("app", ()), "m")})

    assert await store.update(decide) == 1
    assert (await store.read_snapshot()).links == {"app": ("m",)}


async def test_a_cancellation_is_never_swallowed(store: RedisStore) -> None:
    async def write_for_ever() -> None:
        while True:
            await store.update(always(Change(links={"a": ("m",)})))

    await store.read_snapshot()
    for steps in range(120):
        task = asyncio.create_task(write_for_ever())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=2)
        assert done, f"still runs, cancelled after {steps} steps of the loop"
        assert task.cancelled()


async def test_a_torn_log_tail_does_not_stop_the_server(store: RedisStore, embedded_server) -> None:
    await store.update(always(Change(links={"a": ("m",)})))
    embedded_server.kill()
    log = next(embedded_server.data_dir.glob("appendonlydir/*.incr.aof"))
    with log.open("ab") as tail:
        tail.write(b"*3\r\n$3\r\nSET\r\n$4\r\nto")
    embedded_server.start()
    assert (await store.read_snapshot()).links == {"a": ("m",)}


async def test_two_servers_cannot_share_a_data_directory(embedded_server, monkeypatch) -> None:
    from clipper.store import embedded

    monkeypatch.setattr(embedded, "_LOCK_WAIT_S", 0.1)
    monkeypatch.setattr(embedded.os, "execve", lambda *_: pytest.fail("the server was started"))
    listener = embedded.StoreListener(embedded_server.socket_path)
    with pytest.raises(ClipperException, match="Another server already uses"):
        embedded.exec_server(embedded_server.data_dir, listener)


async def test_an_absent_server_is_named_with_the_next_step() -> None:
    store = RedisStore("redis://user:secret@127.0.0.1:1/0", "test")
    with pytest.raises(
        StoreUnavailable, match=r"redis://127\.0\.0\.1:1/0 did not answer"
    ) as caught:
        await store.read_snapshot()
    assert "secret" not in str(caught.value)
    assert "Check that the server runs" in str(caught.value)
    await store.close()


async def test_an_unreadable_entry_is_named(store: RedisStore, store_url: str) -> None:
    import redis

    with redis.Redis.from_url(store_url) as raw:
        raw.hset("clipper:test:apps", "bad", '{"name": 3}')
    with pytest.raises(StoreUnavailable, match="apps b'bad'"):
        await store.read_snapshot()
