"""`ConfigStore` on a Redis-compatible server.

Hazards that shape this file: the server may be killed and come back at any moment, so every call
has a short deadline, connections are renewed silently once, and events are only hints. A write
whose connection dies under it leaves a token behind when it was executed, so that it is neither
lost nor done twice.

One `RedisStore` belongs to one event loop. Several may work on the same cluster at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import redis.asyncio as redis_async
from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import RedisError, WatchError

from clipper.datatypes import VersionedModelId
from clipper.errors import StoreUnavailable
from clipper.store import scripts
from clipper.store.base import Change, ConfigSnapshot, ConfigStore, WorkerLease
from clipper.store.schema import (
    GONE_TTL_MS,
    WRITTEN_TTL_MS,
    Keys,
    decode_lease,
    decode_snapshot,
    encode,
)
from clipper.store.server import Server, cancellable, is_refusal

log = logging.getLogger(__name__)

_CONFIG_HASHES = ("apps", "models", "links", "current", "serving")


@dataclasses.dataclass(frozen=True)
class RedisSettings:
    """Deadlines and limits of the connection to the store."""

    socket_timeout_s: float = 1.0
    """Longest wait for a connection or one answer."""
    max_connections: int = 32
    """Connections of one process; further calls wait for one, at most the socket timeout."""
    update_timeout_s: float = 5.0
    """Longest time for one configuration write including its repetitions."""
    update_attempts: int = 100
    """Attempts at one write while others write at the same moment."""
    conflict_wait_s: float = 0.02
    """Upper end of the random wait between those attempts."""
    event_silence_s: float = 5.0
    """`changes` yields after this long without an event, in case one was lost."""
    reconnect_first_s: float = 0.05
    """First wait of `changes` before it connects again; doubled up to the next field."""
    reconnect_max_s: float = 1.0
    remembered_replicas: int = 1000
    """Containers of one model version whose numbers are kept; one that starts over and over again
    must not fill the store. An older one gets a new number from the next worker it dials."""


class RedisStore(ConfigStore):
    """Configuration, leases and selection state of one cluster.

    Args:
        url: ``redis://[user:password@]host:port/db``, ``rediss://…`` or ``unix:///path``.
        cluster_name: clusters of different names can share a server.
        settings: deadlines and limits.
        rng: source of the jitter; seeded in tests.

    Raises:
        ClipperException: the URL is of no known form.
    """

    def __init__(
        self,
        url: str,
        cluster_name: str,
        settings: RedisSettings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings or RedisSettings()
        self._rng = rng or random.Random()
        self._keys = Keys(cluster_name)
        self._server = Server(url)
        # One silent retry: a pooled connection may be left over from before a server restart.
        self._client = self._new_client(retries=1)
        self._events_client = self._new_client(retries=0)
        self._read_leases_script = self._client.register_script(scripts.READ_LEASES)
        self._replica_number_script = self._client.register_script(scripts.REPLICA_NUMBER)
        self._delete_users_script = self._client.register_script(scripts.DELETE_USERS)
        self._writing = asyncio.Lock()

    def _new_client(self, retries: int) -> redis_async.Redis:
        return self._server.client(
            connect_timeout_s=self._settings.socket_timeout_s,
            answer_timeout_s=self._settings.socket_timeout_s,
            max_connections=self._settings.max_connections,
            retries=retries,
        )

    @property
    def address(self) -> str:
        """Where the server is, without credentials."""
        return self._server.address

    async def read_snapshot(self) -> ConfigSnapshot:
        """See `ConfigStore.read_snapshot`."""
        keys = self._keys
        with self._server.translated():
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.get(keys.revision)
                for name in _CONFIG_HASHES:
                    pipe.hgetall(getattr(keys, name))
                revision, *hashes = await pipe.execute()
        return decode_snapshot(revision, dict(zip(_CONFIG_HASHES, hashes, strict=True)))

    async def read_revision(self) -> int:
        """See `ConfigStore.read_revision`."""
        with self._server.translated():
            return int(await self._client.get(self._keys.revision) or 0)

    async def update(self, decide: Callable[[ConfigSnapshot], Change]) -> int:
        """See `ConfigStore.update`. Writers of this process queue up; others are detected."""
        token = uuid.uuid4().hex
        with self._server.translated("then look whether the change was stored before trying again"):
            async with asyncio.timeout(self._settings.update_timeout_s), self._writing:
                change, revision = await self._write(decide, token)
        for app in change.delete_state_of:
            await self._delete_users(app)
        return revision

    async def _write(
        self, decide: Callable[[ConfigSnapshot], Change], token: str
    ) -> tuple[Change, int]:
        for _ in range(self._settings.update_attempts):
            change, revision = await self._try_update(decide, token)
            if revision is not None:
                return change, revision
            await asyncio.sleep(self._rng.uniform(0, self._settings.conflict_wait_s))
        raise StoreUnavailable(
            f"The configuration store at {self.address} is busy: others wrote at the same moment "
            f"{self._settings.update_attempts} times. Nothing was changed; try again."
        )

    async def _try_update(
        self, decide: Callable[[ConfigSnapshot], Change], token: str
    ) -> tuple[Change, int | None]:
        """Write once; no revision when someone else wrote meanwhile or the connection broke."""
        snapshot = await self.read_snapshot()
        change = decide(snapshot)
        revision = snapshot.revision + 1
        async with self._client.pipeline(transaction=True) as pipe:
            try:
                await pipe.watch(self._keys.revision)
                if int(await pipe.get(self._keys.revision) or 0) != snapshot.revision:
                    return change, None
                change = await self._with_generations(pipe, change)
                pipe.multi()  # type: ignore[no-untyped-call]
                self._queue_writes(pipe, change)
                self._queue_deletions(pipe, change, snapshot)
                pipe.set(self._keys.written(token), revision, px=WRITTEN_TTL_MS)
                pipe.incr(self._keys.revision)
                pipe.publish(self._keys.events, revision)
                await pipe.execute()
            except WatchError:
                return change, await self._revision_written(token)
        return change, revision

    async def _revision_written(self, token: str) -> int | None:
        """The client library reports a connection lost in EXEC as a conflict; find out which.

        Waits for the server to come back, within the time that `update` has.
        """
        while True:
            try:
                raw = await self._client.get(self._keys.written(token))
            except (RedisError, OSError):
                await asyncio.sleep(self._settings.reconnect_first_s)
            else:
                return None if raw is None else int(raw)

    async def _with_generations(self, pipe: Pipeline, change: Change) -> Change:
        fresh = [r for r in (*change.applications.values(), *change.models.values()) if r]
        count = sum(record.generation == 0 for record in fresh)
        if count == 0:
            return change
        last = int(await pipe.incrby(self._keys.generation, count))
        numbers = iter(range(last - count + 1, last + 1))
        return dataclasses.replace(
            change,
            applications=_numbered(change.applications, numbers),
            models=_numbered(change.models, numbers),
        )

    def _queue_writes(self, pipe: Pipeline, change: Change) -> None:
        keys = self._keys
        _queue_hash(pipe, keys.apps, _encoded(change.applications))
        _queue_hash(pipe, keys.models, _encoded(change.models))
        _queue_hash(pipe, keys.links, _encoded(change.links))
        _queue_hash(pipe, keys.current, change.current_versions)
        _queue_hash(pipe, keys.serving, change.serving_versions)
        for model, record in change.models.items():
            if record is None:
                pipe.delete(keys.replica_numbers(model))

    def _queue_deletions(self, pipe: Pipeline, change: Change, before: ConfigSnapshot) -> None:
        """Delete what there is of the applications but users' states; see `_delete_users`."""
        for app in change.delete_state_of:
            registered = before.applications.get(app)
            generations = [] if registered is None else [registered.generation]
            # As text: a transaction cannot find out whether the server knows its digest.
            pipe.eval(
                scripts.DELETE_SELECTION,
                2,
                self._keys.selection_generations(app),
                self._keys.choice_slices(app),
                app,
                self._keys.prefix,
                GONE_TTL_MS,
                *generations,
            )

    async def _delete_users(self, app: str) -> None:
        """Delete users' states of deleted registrations; what is left when this fails expires."""
        with contextlib.suppress(StoreUnavailable), self._server.translated():
            async with asyncio.timeout(self._settings.update_timeout_s):
                more = 1
                while more:
                    more = await self._delete_users_script(
                        keys=[self._keys.selection_generations(app)], args=[app, self._keys.prefix]
                    )

    async def changes(self) -> AsyncIterator[None]:
        """See `ConfigStore.changes`. Bursts of events are reported once.

        A server that refuses to send events is asked about once a second instead.
        """
        wait_s = self._settings.reconnect_first_s
        refusal = ""
        while True:
            pubsub = self._events_client.pubsub()
            try:
                await self._subscribe(pubsub)
                wait_s = self._settings.reconnect_first_s
                yield
                while True:
                    await self._next_event(pubsub)
                    yield
            except (RedisError, OSError) as error:
                # Of a server that is away, whoever renews a lease tells.
                if is_refusal(error):
                    if str(error) != refusal:
                        refusal = str(error)
                        log.warning("no change events from %s: %s", self.address, refusal)
                    yield  # instead of the event that may have been missed
            finally:
                await _close(pubsub)
            await asyncio.sleep(wait_s * self._rng.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, self._settings.reconnect_max_s)

    async def _subscribe(self, pubsub: PubSub) -> None:
        with cancellable():
            await pubsub.subscribe(self._keys.events)
            await self._expect_answer(pubsub)

    async def _next_event(self, pubsub: PubSub) -> None:
        """Return after a burst of events, or after the longest silence from a living server."""
        with cancellable():
            message = await pubsub.get_message(timeout=self._settings.event_silence_s)
            if message is None:  # a peer that vanished is silent for ever; only an answer tells
                await pubsub.ping()
                await self._expect_answer(pubsub)
            while message is not None:
                message = await pubsub.get_message(timeout=0)

    async def _expect_answer(self, pubsub: PubSub) -> None:
        if await pubsub.get_message(timeout=self._settings.socket_timeout_s) is None:
            raise TimeoutError("the server did not answer")

    async def write_lease(self, lease: WorkerLease, ttl_s: float) -> None:
        """See `ConfigStore.write_lease`. One round trip."""
        with self._server.translated():
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.set(self._keys.worker(lease.worker_id), encode(lease), px=int(ttl_s * 1000))
                pipe.sadd(self._keys.workers, lease.worker_id)
                await pipe.execute()

    async def delete_lease(self, worker_id: str) -> None:
        """See `ConfigStore.delete_lease`."""
        with self._server.translated():
            await self._client.delete(self._keys.worker(worker_id))

    async def read_leases(self) -> list[WorkerLease]:
        """See `ConfigStore.read_leases`. Forgets the ids of workers whose lease has expired."""
        with self._server.translated():
            raw = await self._read_leases_script(
                keys=[self._keys.workers], args=[self._keys.worker_prefix]
            )
        return sorted(map(decode_lease, raw), key=lambda lease: lease.worker_id)

    async def next_epoch(self) -> int:
        """See `ConfigStore.next_epoch`."""
        with self._server.translated():
            return int(await self._client.incr(self._keys.epoch))

    async def replica_number(self, model: VersionedModelId, instance_id: str) -> int:
        """See `ConfigStore.replica_number`."""
        with self._server.translated():
            number = await self._replica_number_script(
                keys=[self._keys.replica_numbers(model)],
                args=[instance_id, self._settings.remembered_replicas],
            )
        return int(number)

    async def close(self) -> None:
        """See `ConfigStore.close`. Ends iterations of `changes` only when they are cancelled."""
        await self._client.aclose()
        await self._events_client.aclose()


def _numbered(records: Mapping[Any, Any], numbers: Iterator[int]) -> dict[Any, Any]:
    return {
        key: dataclasses.replace(record, generation=next(numbers))
        if record is not None and record.generation == 0
        else record
        for key, record in records.items()
    }


def _encoded(entries: Mapping[Any, object]) -> dict[str, bytes | str | None]:
    return {str(key): None if value is None else encode(value) for key, value in entries.items()}


def _queue_hash(pipe: Pipeline, key: str, entries: Mapping[str, bytes | str | None]) -> None:
    gone = [field for field, value in entries.items() if value is None]
    kept: dict[Any, Any] = {f: value for f, value in entries.items() if value is not None}
    if gone:
        pipe.hdel(key, *gone)
    if kept:
        pipe.hset(key, mapping=kept)


async def _result(answer: Any) -> Any:
    """Await an answer that the client library types as perhaps not awaitable."""
    return await answer


async def _close(pubsub: PubSub) -> None:
    with contextlib.suppress(RedisError, OSError):
        await pubsub.aclose()  # type: ignore[no-untyped-call]
