"""Acknowledged feedback is on the server's disk, or it is not acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio

from clipper.errors import StoreUnavailable
from clipper.query.feedback_writer import FeedbackWriter
from clipper.store.redis_selection import RedisSelectionStore, SelectionStoreSettings
from clipper.store.selection import FeedbackWrite, Increment, StateKey, StateUpdate
from tests.integration.conftest import EmbeddedServer, running_server
from tests.integration.store_support import eventually

KEY = StateKey("app", 1)


def counted(name: str) -> FeedbackWrite:
    return FeedbackWrite(name, [StateUpdate(KEY, [Increment("count", 1.0)])])


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """A server with the options that the test asks for."""
    with running_server(*request.param.split()) as running:
        yield running


@pytest.fixture
async def selection(server: EmbeddedServer) -> AsyncIterator[RedisSelectionStore]:
    store = RedisSelectionStore(server.url, "test")
    yield store
    await store.close()


async def limited_to(server: EmbeddedServer, *rules: str) -> str:
    """Make a user with these rights and return the store's address for it."""
    admin = redis.asyncio.Redis(unix_socket_path=str(server.socket_path))
    await admin.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~clipper:*", *rules)
    await admin.aclose()
    return f"unix://app:secret@{server.socket_path}"


ALWAYS, EVERY_SECOND, NEVER, MEMORY = (
    "--appendfsync always",
    "--appendfsync everysec",
    "--appendfsync no",
    "--appendonly no",
)
WITHOUT_WAITAOF = ("+@all", "-waitaof")
DOCUMENTED = ("+@read", "+@write", "+@transaction", "+@pubsub", "+@scripting", "+@connection")


@pytest.mark.parametrize("server", [ALWAYS, EVERY_SECOND], indirect=True)
async def test_a_server_that_syncs_is_enough_and_keeps_what_it_acknowledged(
    selection: RedisSelectionStore, server: EmbeddedServer
) -> None:
    for number in range(3):
        assert await selection.write_feedback("app", 1, [counted(str(number))]) == [True]
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    assert await selection.read_state_versions([KEY]) == [3]


@pytest.mark.parametrize("server", [EVERY_SECOND], indirect=True)
async def test_what_another_connection_wrote_is_waited_for_too(
    selection: RedisSelectionStore, server: EmbeddedServer
) -> None:
    """Repeated feedback changes nothing, but the server must sync what the first attempt did."""
    admin = redis.asyncio.Redis(unix_socket_path=str(server.socket_path))
    await selection.write_feedback("app", 1, [counted("a")])
    before = (await admin.info("replication"))["master_repl_offset"]
    assert await selection.write_feedback("app", 1, [counted("a")]) == [False]
    assert (await admin.info("replication"))["master_repl_offset"] > before
    await admin.aclose()


@pytest.mark.parametrize("server", [MEMORY], indirect=True)
async def test_a_server_without_a_file_is_refused_until_the_operator_says_otherwise(
    selection: RedisSelectionStore, server: EmbeddedServer
) -> None:
    with pytest.raises(StoreUnavailable, match=r"appendonly is disabled.*Set 'appendonly yes'"):
        await selection.write_feedback("app", 1, [counted("a")])
    settings = SelectionStoreSettings(allow_volatile_feedback=True)
    careless = RedisSelectionStore(server.url, "test", settings)
    assert await careless.write_feedback("app", 1, [counted("b")]) == [True]
    await careless.close()

    admin = redis.asyncio.Redis(unix_socket_path=str(server.socket_path))
    await admin.config_set("appendonly", "yes")
    async with asyncio.timeout(20):
        while (await admin.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await admin.aclose()
    assert await selection.write_feedback("app", 1, [counted("c")]) == [True], "mended at once"


@pytest.mark.parametrize("server", [NEVER], indirect=True)
async def test_a_server_that_does_not_sync_is_refused(server: EmbeddedServer) -> None:
    settings = SelectionStoreSettings(durable_timeout_s=0.2)
    store = RedisSelectionStore(server.url, "test", settings)
    with pytest.raises(StoreUnavailable, match=r"on disk after 0\.2 s.*'appendfsync always'"):
        await store.write_feedback("app", 1, [counted("a")])
    await store.close()


@pytest.mark.parametrize(
    ("server", "durable"),
    [(ALWAYS, True), (EVERY_SECOND, False), (MEMORY, False)],
    indirect=["server"],
)
async def test_a_server_without_waitaof_must_write_before_it_answers(
    server: EmbeddedServer, durable: bool
) -> None:
    store = RedisSelectionStore(await limited_to(server, *WITHOUT_WAITAOF), "test")
    for number in range(3):
        write = store.write_feedback("app", 1, [counted(str(number))])
        if durable:
            assert await write == [True]
        else:
            with pytest.raises(StoreUnavailable, match="'appendfsync always'"):
                await write
    await store.close()


@pytest.mark.parametrize("server", [ALWAYS], indirect=True)
async def test_a_server_whose_settings_change_is_noticed_at_the_next_write(
    server: EmbeddedServer,
) -> None:
    store = RedisSelectionStore(await limited_to(server, *WITHOUT_WAITAOF), "test")
    admin = redis.asyncio.Redis(unix_socket_path=str(server.socket_path))
    await store.write_feedback("app", 1, [counted("a")])
    await admin.config_set("no-appendfsync-on-rewrite", "yes")
    with pytest.raises(StoreUnavailable):
        await store.write_feedback("app", 1, [counted("b")])
    await admin.config_set("no-appendfsync-on-rewrite", "no")
    assert await store.write_feedback("app", 1, [counted("c")]) == [True]
    await admin.aclose()
    await store.close()


@pytest.mark.parametrize("server", [ALWAYS], indirect=True)
async def test_the_documented_rights_are_enough_and_without_any_answer_nothing_is_promised(
    server: EmbeddedServer,
) -> None:
    store = RedisSelectionStore(await limited_to(server, *DOCUMENTED), "test")
    assert await store.write_feedback("app", 1, [counted("a")]) == [True]
    await store.write_choices("app", {1: b"x"})
    assert await store.read_choices("app", [1]) == [b"x"]
    assert await store.read_state_versions([KEY]) == [1]
    await store.close()
    store = RedisSelectionStore(await limited_to(server, "-waitaof"), "test")
    with pytest.raises(StoreUnavailable, match=r"\+config\|get"):
        await store.write_feedback("app", 1, [counted("b")])
    await store.close()


async def test_a_server_that_stopped_answering_is_not_waited_for(
    embedded_server: EmbeddedServer,
) -> None:
    settings = SelectionStoreSettings(write_timeout_s=1.0, connect_timeout_s=1.0)
    store = RedisSelectionStore(embedded_server.url, "test", settings)
    await store.write_feedback("app", 1, [counted("a")])
    os.kill(embedded_server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(15):
            with pytest.raises(StoreUnavailable, match="did not answer"):
                await store.write_feedback("app", 1, [counted("b")])
    finally:
        os.kill(embedded_server.pid, signal.SIGCONT)
    assert await store.write_feedback("app", 1, [counted("b"), counted("c")]) in (
        [False, True],
        [True, True],
    )
    assert await store.read_state_versions([KEY]) == [3]
    await store.close()


async def test_a_hundred_thousand_updates_count_once_each_though_the_server_is_killed_twice(
    embedded_server: EmbeddedServer,
) -> None:
    updates, clients = 100_000, 2_000
    names = iter(range(updates))
    acknowledged: set[int] = set()
    refusals = itertools.count()
    stores = [RedisSelectionStore(embedded_server.url, "test") for _ in range(2)]
    writers = [FeedbackWriter(store) for store in stores]

    async def client(number: int) -> None:
        for name in names:
            for attempt in itertools.count(number):
                try:  # as a load balancer would, each attempt goes to the other frontend
                    await writers[attempt % 2].write("app", 1, counted(f"update-{name}"))
                    acknowledged.add(name)
                    break
                except StoreUnavailable:
                    next(refusals)
                    await asyncio.sleep(0.05)

    async def kill_when(done: int) -> None:
        await eventually(lambda: len(acknowledged) >= done, timeout_s=120)
        os.kill(embedded_server.pid, signal.SIGKILL)  # at once, whatever is on its way
        await asyncio.to_thread(embedded_server.kill)
        await asyncio.to_thread(embedded_server.start)

    async def kill_twice() -> None:
        await kill_when(updates // 3)
        await kill_when(2 * updates // 3)

    started = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kill_twice())
        for number in range(clients):
            tasks.create_task(client(number))
    took_s = time.monotonic() - started
    [found] = await stores[1].read_states([KEY])
    print(f"{updates / took_s:.0f} updates/s, {next(refusals)} refusals, {took_s:.1f} s")
    assert len(acknowledged) == updates
    assert found.version == updates
    assert found.values == {"count": float(updates)}
    for store in stores:
        await store.close()
