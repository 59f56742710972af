"""A store that asks for a user and password, and gives few rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis.asyncio

from clipper.errors import StoreUnavailable
from clipper.store.base import (
    Change,
)
from clipper.store.redis import RedisSettings, RedisStore
from tests.integration.conftest import EmbeddedServer
from tests.integration.store_support import LEASE, MODEL, Watcher, always, eventually


@pytest.fixture
async def limit_user(
    embedded_server: EmbeddedServer,
) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Make a user with a password and return the store's address for it."""
    admin = redis.asyncio.Redis(unix_socket_path=str(embedded_server.socket_path))

    keys = ("~clipper:test:*", "&clipper:test:*")

    async def limit(*rules: str) -> str:
        await admin.execute_command("ACL", "SETUSER", "app", "on", ">secret", *keys, *rules)
        return f"unix://app:secret@{embedded_server.socket_path}"

    yield limit
    await admin.aclose()


async def test_a_user_with_the_documented_rights_is_enough(
    limit_user: Callable[..., Awaitable[str]],
) -> None:
    rights = ("@read", "@write", "@transaction", "@pubsub", "@scripting", "@connection")
    store = RedisStore(await limit_user(*(f"+{right}" for right in rights)), "test")
    watcher = Watcher(store)
    try:
        await eventually(lambda: watcher.count)
        seen = watcher.count
        assert await store.update(always(Change(models={MODEL.id: MODEL}))) == 1
        await eventually(lambda: watcher.count > seen)
        await store.write_lease(LEASE, 10)
        assert await store.read_leases() == [LEASE]
        assert await store.replica_number(MODEL.id, "a") == 0
        assert await store.next_epoch() == 1
    finally:
        await watcher.stop()
        await store.close()


async def test_a_refused_command_says_which_rights_are_missing_and_no_password(
    limit_user: Callable[..., Awaitable[str]],
) -> None:
    store = RedisStore(await limit_user("+@all", "-@scripting"), "test")
    try:
        with pytest.raises(StoreUnavailable, match=r"refused .*evalsha.*@scripting") as caught:
            await store.read_leases()
    finally:
        await store.close()
    assert "secret" not in str(caught.value)


async def test_a_wrong_password_is_not_reported_as_silence(
    limit_user: Callable[..., Awaitable[str]],
) -> None:
    url = (await limit_user("+@all")).replace("secret", "guess")
    store = RedisStore(url, "test")
    try:
        with pytest.raises(StoreUnavailable, match=r"refused .*user and password"):
            await store.read_snapshot()
    finally:
        await store.close()


async def test_a_server_that_refuses_events_is_asked_instead(
    limit_user: Callable[..., Awaitable[str]], caplog: pytest.LogCaptureFixture
) -> None:
    settings = RedisSettings(reconnect_max_s=0.05)
    store = RedisStore(await limit_user("+@all", "-subscribe"), "test", settings)
    watcher = Watcher(store)
    try:
        await eventually(lambda: watcher.count > 3)
    finally:
        await watcher.stop()
        await store.close()
    assert len([r for r in caplog.records if "no change events" in r.message]) == 1
