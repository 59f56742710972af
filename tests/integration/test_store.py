"""The Redis store on a real embedded server: what is written and read back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest
import redis.asyncio

from clipper.datatypes import VersionedModelId
from clipper.errors import InvalidRequest
from clipper.store.base import (
    Change,
    ConfigSnapshot,
)
from clipper.store.redis import RedisSettings, RedisStore
from tests.integration.conftest import EmbeddedServer
from tests.integration.store_support import APP, LEASE, MODEL, always


async def test_empty_store_reads_as_revision_zero(store: RedisStore) -> None:
    assert await store.read_snapshot() == ConfigSnapshot()
    assert await store.read_revision() == 0
    assert await store.read_leases() == []


async def test_everything_written_is_read_back(store: RedisStore) -> None:
    change = Change(
        applications={"hello": APP},
        models={MODEL.id: MODEL},
        links={"hello": ("m",), "none": ()},
        current_versions={"m": "1"},
        serving_versions={"m": "0"},
    )
    assert await store.update(always(change)) == await store.read_revision() == 1
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
