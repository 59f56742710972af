"""`SelectionStore` on a Redis-compatible server.

Feedback that was acknowledged must be on the server's disk. The server alone can say so: with every
batch goes WAITAOF, whose answer counts. Servers before Redis 7.2 do not know it; they are asked in
the same breath, on the same connection, whether they write before they answer
(``appendfsync always``). A finding is never older than the write it speaks for.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
from redis.exceptions import NoPermissionError, ResponseError

from clipper.errors import InvalidRequest, StoreUnavailable
from clipper.store import scripts
from clipper.store.schema import Keys
from clipper.store.selection import (
    APPLICATION,
    FeedbackWrite,
    SelectionStore,
    StateKey,
    StateUpdate,
    StoredState,
)
from clipper.store.server import Server

_DIGEST_BYTES = 12
"""Of an idempotency key: ten thousand million keys collide with a chance of about 1e-9."""

_CALLS_AT_ONCE = 500
"""Reads in one pipeline, and records in one call of a script."""

_VERSION_FIELD = b""

_SLICES = 8

_Item = TypeVar("_Item")


@dataclasses.dataclass(frozen=True)
class SelectionStoreSettings:
    """Lifetimes and limits of selection data."""

    connect_timeout_s: float = 1.0
    """Longest wait for a connection, and for the answer to a read."""
    durable_timeout_s: float = 3.0
    """Longest wait of the server for its disk."""
    write_timeout_s: float = 5.0
    """Longest time for writing one batch of feedback including its repetition."""
    max_connections: int = 16
    idempotency_window_s: float = 3600.0
    """Feedback with the same key is recognized for so long at least, for twice that at most."""
    state_ttl_s: float = 30 * 86400.0
    """A user without feedback for so long is forgotten. Applications' own states stay."""
    max_users: int = 100_000
    """States of users per application; those without feedback for longest go first."""
    log_length: int = 100_000
    """Feedback in an application's log, about."""
    choice_ttl_s: float = 3600.0
    """Choices are found for so long, unless `max_choices` newer ones were made."""
    max_choices: int = 1_000_000
    """Choices of one application; an eighth more may be stored."""
    allow_volatile_feedback: bool = False
    """Acknowledge feedback that the server has in memory only: it may lose it when it dies."""


class RedisSelectionStore(SelectionStore):
    """Selection data of one cluster. Belongs to one event loop; several may work at once.

    Args:
        url: see `Server`.
        cluster_name: clusters of different names can share a server.
        settings: lifetimes and limits; the same on every frontend.

    Raises:
        ClipperException: the URL is of no known form.
    """

    def __init__(
        self, url: str, cluster_name: str, settings: SelectionStoreSettings | None = None
    ) -> None:
        self._settings = settings = settings or SelectionStoreSettings()
        self._keys = Keys(cluster_name)
        self._server = Server(url)
        # One silent retry: a pooled connection may be left over from before a server restart.
        self._client = self._server.client(
            connect_timeout_s=settings.connect_timeout_s,
            answer_timeout_s=settings.connect_timeout_s,
            max_connections=settings.max_connections,
            retries=1,
        )
        self._writing_client = self._server.client(
            connect_timeout_s=settings.connect_timeout_s,
            answer_timeout_s=settings.write_timeout_s,
            max_connections=settings.max_connections,
            retries=1,
        )
        self._knows_waitaof = True
        """What the server showed last; tried again whenever it matters."""

    async def write_feedback(
        self, app: str, generation: int, writes: Sequence[FeedbackWrite]
    ) -> list[bool]:
        """See `SelectionStore.write_feedback`. One round trip, one step of the server."""
        if not writes:
            return []
        script = self._feedback_script(app, generation, writes)
        with self._server.translated():
            async with asyncio.timeout(self._settings.write_timeout_s):
                answers = await self._write_durably(script)
        if answers is None:
            raise InvalidRequest(
                f"The application {app} was deleted or registered again meanwhile; look whether "
                "the feedback is meant for the new one"
            )
        return [answer == 1 for answer in answers]

    def _feedback_script(
        self, app: str, generation: int, writes: Sequence[FeedbackWrite]
    ) -> list[Any]:
        keys, settings = self._keys, self._settings
        parts = ("state", "users", "log", "seen", "seen_before", "again", "gone")
        names = [keys.selection(part, app, generation) for part in parts]
        names.append(keys.selection_generations(app))
        return [
            "EVAL",
            scripts.WRITE_FEEDBACK,
            len(names),
            *names,
            generation,
            keys.user_state_prefix(app, generation),
            int(settings.idempotency_window_s * 1000),
            int(settings.state_ttl_s * 1000),
            settings.max_users,
            settings.log_length,
            *itertools.chain.from_iterable(_encoded(app, generation, write) for write in writes),
        ]

    async def _write_durably(self, script: Sequence[Any]) -> list[int] | None:
        """Run the script and see its effects on disk.

        What the server does not vouch for in one way is written again in the other: that is
        harmless, and the answers to the first attempt are the true ones.
        """
        if self._settings.allow_volatile_feedback:
            return _answers((await self._pipeline(script))[0])
        if self._knows_waitaof:
            answers, confirmation = await self._pipeline(script, self._waitaof())
            answers = _answers(answers)
            if not _is_unsupported(confirmation):
                self._check_on_disk(confirmation)
                return answers
            again, *evidence = await self._pipeline(script, *_EVIDENCE)
            _answers(again)
        else:
            answers, *evidence = await self._pipeline(script, *_EVIDENCE)
            answers = _answers(answers)
        self._knows_waitaof = not _writes_before_answering(evidence)
        if self._knows_waitaof:
            raise StoreUnavailable(
                self._volatile_text("does not say that it writes before it answers")
            )
        return answers

    async def _pipeline(self, *commands: Sequence[Any]) -> list[Any]:
        async with self._writing_client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return await pipe.execute(raise_on_error=False)

    def _waitaof(self) -> list[Any]:
        return ["WAITAOF", 1, 0, int(self._settings.durable_timeout_s * 1000)]

    def _check_on_disk(self, confirmation: Any) -> None:
        if isinstance(confirmation, ResponseError):
            raise StoreUnavailable(self._volatile_text(f"says: {confirmation}"))
        if isinstance(confirmation, Exception):
            raise confirmation
        if confirmation[0] < 1:
            raise StoreUnavailable(
                f"The store at {self._server.address} did not have the feedback on disk after "
                f"{self._settings.durable_timeout_s:g} s. Set 'appendfsync always' in its "
                "configuration, or 'everysec' at least, look whether its disk is overloaded or "
                "full, then send the feedback again: it counts once."
            )

    def _volatile_text(self, finding: str) -> str:
        return (
            f"Feedback is lost when the store at {self._server.address} dies: it {finding}. "
            "Set 'appendonly yes' and 'appendfsync always' in its configuration (before Redis 7.2 "
            "its user also needs +config|get), or allow_volatile_feedback if feedback may be lost."
        )

    async def read_states(self, keys: Sequence[StateKey]) -> list[StoredState]:
        """See `SelectionStore.read_states`. One round trip for 500 states."""
        raw = await self._read("HGETALL", [(self._state(key),) for key in keys])
        return [self._decoded_state(key, fields) for key, fields in zip(keys, raw, strict=True)]

    async def read_state_versions(self, keys: Sequence[StateKey]) -> list[int]:
        """See `SelectionStore.read_state_versions`. One round trip for 500 states."""
        raw = await self._read("HGET", [(self._state(key), _VERSION_FIELD) for key in keys])
        return [int(version or 0) for version in raw]

    async def _read(self, command: str, arguments: Sequence[Sequence[Any]]) -> list[Any]:
        answers: list[Any] = []
        with self._server.translated():
            for some in _chunks(arguments):
                async with self._client.pipeline(transaction=False) as pipe:
                    for words in some:
                        pipe.execute_command(command, *words)
                    answers += await pipe.execute()
        return answers

    def _state(self, key: StateKey) -> str:
        if key.uid == APPLICATION:
            return self._keys.selection("state", key.app, key.generation)
        return self._keys.user_state_prefix(key.app, key.generation) + key.uid

    def _decoded_state(self, key: StateKey, fields: Mapping[bytes, bytes]) -> StoredState:
        try:
            values = {name.decode(): float(raw) for name, raw in fields.items() if name}
            return StoredState(int(fields.get(_VERSION_FIELD, 0)), values)
        except ValueError as error:
            raise StoreUnavailable(
                f"The selection state {self._state(key)} cannot be read: {error}. Was it written "
                "by another program? Delete it, or register the application again."
            ) from error

    async def write_choices(self, app: str, records: Mapping[int, bytes]) -> None:
        """See `SelectionStore.write_choices`. One round trip for 500 records."""
        settings = self._settings
        ttl_ms = int(settings.choice_ttl_s * 1000)
        limits = (
            ttl_ms,
            max(1, ttl_ms // _SLICES),
            max(1, settings.max_choices // _SLICES),
            _SLICES + 1,
        )
        await self._choices(
            scripts.WRITE_CHOICES, app, limits, [list(pair) for pair in records.items()]
        )

    async def read_choices(self, app: str, query_ids: Sequence[int]) -> list[bytes | None]:
        """See `SelectionStore.read_choices`. One round trip for 500 records."""
        return await self._choices(scripts.READ_CHOICES, app, (), [[key] for key in query_ids])

    async def _choices(
        self, script: str, app: str, limits: Iterable[int], items: Sequence[Sequence[Any]]
    ) -> list[Any]:
        answers: list[Any] = []
        key, prefix = self._keys.choice_slices(app), self._keys.choices_prefix
        with self._server.translated():
            for some in _chunks(items):
                words = itertools.chain.from_iterable(some)
                answers += (
                    await self._client.eval(script, 1, key, app, prefix, *limits, *words) or ()
                )
        return answers

    async def read_feedback_log(self, app: str, generation: int, count: int) -> list[bytes]:
        """See `SelectionStore.read_feedback_log`. One round trip for 500 entries."""
        key = self._keys.selection("log", app, generation)
        entries: list[bytes] = []
        newest = "+"
        with self._server.translated():
            while len(entries) < count:
                wanted = min(count - len(entries), _CALLS_AT_ONCE)
                page: Any = await self._client.xrevrange(key, max=newest, count=wanted)
                entries += [fields[b"e"] for _, fields in page]
                if len(page) < wanted:
                    break
                newest = _before(page[-1][0])
        return entries[::-1]

    async def close(self) -> None:
        """See `SelectionStore.close`."""
        await self._client.aclose()
        await self._writing_client.aclose()


_EVIDENCE = (
    ("CONFIG", "GET", "appendonly"),
    ("CONFIG", "GET", "appendfsync"),
    ("CONFIG", "GET", "no-appendfsync-on-rewrite"),
)


def _writes_before_answering(evidence: Sequence[Any]) -> bool:
    values = [None if isinstance(answer, Exception) else answer for answer in evidence]
    return values == [
        [b"appendonly", b"yes"],
        [b"appendfsync", b"always"],
        [b"no-appendfsync-on-rewrite", b"no"],
    ]


def _is_unsupported(confirmation: Any) -> bool:
    return isinstance(confirmation, ResponseError) and (
        isinstance(confirmation, NoPermissionError)
        or "unknown command" in str(confirmation).lower()
    )


def _answers(raw: Any) -> list[int] | None:
    if isinstance(raw, Exception):
        raise raw
    return cast("list[int] | None", raw)


def _encoded(app: str, generation: int, write: FeedbackWrite) -> tuple[bytes, bytes, bytes]:
    """Return what the script takes for one write."""
    digest = hashlib.blake2b(write.idempotency_key.encode(), digest_size=_DIGEST_BYTES).digest()
    updates = [_encoded_update(app, generation, update) for update in write.updates]
    body = msgspec.msgpack.encode((write.log_entry is not None, updates))
    return digest, write.log_entry or b"", body


def _encoded_update(app: str, generation: int, update: StateUpdate) -> tuple[Any, ...]:
    key = update.key
    if (key.app, key.generation) != (app, generation):
        raise ValueError(f"the update of {key} is not of application {app}, {generation}")
    increments = [(i.field, float(i.amount), float(i.start)) for i in update.increments]
    floor = False if update.clamp is None else tuple(update.clamp)
    return key.uid, increments, floor, dict(update.seed)


def _before(entry_id: bytes) -> str:
    """Return the largest id below that of a log entry."""
    time_ms, sequence = map(int, entry_id.split(b"-"))
    if sequence:
        return f"{time_ms}-{sequence - 1}"
    return f"{time_ms - 1}-{2**64 - 1}"


def _chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for first in range(0, len(items), _CALLS_AT_ONCE):
        yield items[first : first + _CALLS_AT_ONCE]
