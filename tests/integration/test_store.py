"""The Redis store on a real embedded server."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis.asyncio

from clipper.datatypes import InputType, OnDefault, VersionedModelId
from clipper.errors import ClipperException, InvalidRequest, StoreUnavailable
from clipper.store.base import (
    ApplicationRecord,
    Change,
    ConfigSnapshot,
    ModelRecord,
    ReplicaRecord,
    WorkerLease,
)
from clipper.store.redis import RedisSettings, RedisStore
from tests.integration.conftest import EmbeddedServer

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


async def test_empty_store_reads_as_revision_zero(store: RedisStore) -> None:
    assert await store.read_snapshot() == ConfigSnapshot()
    assert await store.read_leases() == []


async def test_everything_written_is_read_back(store: RedisStore) -> None:
    change = Change(
        applications={"hello": APP},
        models={MODEL.id: MODEL},
        links={"hello": ("m",), "none": ()},
        current_versions={"m": "1"},
        serving_versions={"m": "0"},
    )
    assert await store.update(always(change)) == 1
    assert await store.read_snapshot() == ConfigSnapshot(
        revision=1,
        applications={"hello": dataclasses.replace(APP, generation=1)},
        models={MODEL.id: dataclasses.replace(MODEL, generation=2)},
        links={"hello": ("m",), "none": ()},
        current_versions={"m": "1"},
        serving_versions={"m": "0"},
    )


async def test_none_deletes_and_a_new_registration_has_a_new_generation(store: RedisStore) -> None:
    await store.update(always(Change(models={MODEL.id: MODEL}, current_versions={"m": "1"})))
    await store.update(always(Change(models={MODEL.id: None}, current_versions={"m": None})))
    assert await store.read_snapshot() == ConfigSnapshot(revision=2)
    await store.update(always(Change(models={MODEL.id: MODEL})))
    assert (await store.read_snapshot()).models[MODEL.id].generation == 2


async def test_a_record_with_a_generation_keeps_it(store: RedisStore) -> None:
    await store.update(
        always(Change(applications={"hello": dataclasses.replace(APP, generation=9)}))
    )
    assert (await store.read_snapshot()).applications["hello"].generation == 9


async def test_what_decide_raises_is_passed_on_and_nothing_is_written(store: RedisStore) -> None:
    def decide(snapshot: ConfigSnapshot) -> Change:
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest, match="no"):
        await store.update(decide)
    assert (await store.read_snapshot()).revision == 0


async def test_clusters_on_one_server_do_not_see_each_other(
    store: RedisStore, store_url: str
) -> None:
    other = RedisStore(store_url, "other")
    await store.update(always(Change(applications={"hello": APP})))
    await store.write_lease(LEASE, 5)
    assert await other.read_snapshot() == ConfigSnapshot()
    assert await other.read_leases() == []
    await other.close()


async def test_racing_writes_of_two_stores_are_all_kept(store: RedisStore, store_url: str) -> None:
    def link_one_more(name: str) -> Callable[[ConfigSnapshot], Change]:
        return lambda snapshot: Change(links={"app": (*snapshot.links.get("app", ()), name)})

    other = RedisStore(store_url, "test", RedisSettings(update_timeout_s=60))
    first = RedisStore(store_url, "test", RedisSettings(update_timeout_s=60))
    names = [f"m{number}" for number in range(200)]
    revisions = await asyncio.gather(
        *((first, other)[number % 2].update(link_one_more(n)) for number, n in enumerate(names))
    )
    snapshot = await store.read_snapshot()
    assert sorted(snapshot.links["app"]) == sorted(names)
    assert sorted(revisions) == list(range(1, 201))
    assert snapshot.revision == 200
    await first.close()
    await other.close()


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


async def test_leases_are_ordered_renewed_and_expire(store: RedisStore) -> None:
    await store.write_lease(dataclasses.replace(LEASE, worker_id="w2"), 30)
    await store.write_lease(LEASE, 0.1)
    assert [lease.worker_id for lease in await store.read_leases()] == ["w1", "w2"]
    assert (await store.read_leases())[0] == LEASE
    async with asyncio.timeout(5):
        while len(await store.read_leases()) > 1:  # noqa: ASYNC110 - the server expires it
            await asyncio.sleep(0.02)
    renewed = dataclasses.replace(LEASE, applied_revision=6)
    await store.write_lease(renewed, 30)
    assert (await store.read_leases())[0] == renewed
    await store.delete_lease("w1")
    assert [lease.worker_id for lease in await store.read_leases()] == ["w2"]


async def test_replica_numbers_are_the_same_for_everyone_and_not_reused(
    store: RedisStore, store_url: str
) -> None:
    other = RedisStore(store_url, "test")
    model = VersionedModelId("m", "1")
    assert await store.replica_number(model, "a") == 0
    assert await other.replica_number(model, "b") == 1
    assert await other.replica_number(model, "a") == 0
    assert await store.replica_number(model, "next") == 2
    assert await store.replica_number(VersionedModelId("m", "2"), "a") == 0
    await store.update(always(Change(models={model: None})))
    assert await store.replica_number(model, "z") == 0
    await other.close()


async def test_epochs_are_never_repeated(store: RedisStore) -> None:
    first = await store.next_epoch()
    assert await store.next_epoch() > first


async def test_selection_state_is_bytes_and_goes_with_its_application(store: RedisStore) -> None:
    assert await store.create_state("hello", "0", b"\x00\xff") == b"\x00\xff"
    assert await store.create_state("other", "0", b"x") == b"x"
    assert await store.read_state("hello", "0") == b"\x00\xff"
    assert await store.read_state("hello", "1") is None
    await store.update(always(Change(delete_state_of=["hello"])))
    assert await store.read_state("hello", "0") is None
    assert await store.read_state("other", "0") == b"x"


async def test_no_update_of_selection_state_is_overwritten_unseen(store: RedisStore) -> None:
    await store.create_state("hello", "0", b"first")
    assert await store.replace_state("hello", "0", b"first", b"learned")

    late = await store.create_state("hello", "0", b"first")
    assert late == b"learned", "a worker that starts takes what was learned"
    assert not await store.replace_state("hello", "0", b"first", b"other")
    assert await store.replace_state("hello", "0", b"first", b"learned"), "repeated, not refused"
    assert await store.read_state("hello", "0") == b"learned"
    assert not await store.replace_state("hello", "1", b"", b"x"), "deleted meanwhile"
    assert await store.read_state("hello", "1") is None


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
        assert await store.create_state("hello", "0", b"s") == b"s"
        assert await store.replace_state("hello", "0", b"s", b"t")
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


async def test_numbers_of_containers_that_never_came_back_are_forgotten(
    embedded_server: EmbeddedServer,
) -> None:
    store = RedisStore(embedded_server.url, "test", RedisSettings(remembered_replicas=4))
    try:
        given = [await store.replica_number(MODEL.id, f"i{n}") for n in range(20)]
        assert given == list(range(20)), "no number is given twice"
        assert await store.replica_number(MODEL.id, "i19") == 19
        assert await store.replica_number(MODEL.id, "i0") == 20
        admin = redis.asyncio.Redis(unix_socket_path=str(embedded_server.socket_path))
        assert await admin.hlen("clipper:test:replica_numbers:m:1") <= 9
        await admin.aclose()
    finally:
        await store.close()
