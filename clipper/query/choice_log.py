"""Records of choices on their way to the store, off the reply path, and back.

A reply never waits for the store, so records are kept here first. Feedback may reach another worker
sooner than the record reaches the store: whoever finds none looks again for a moment.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import itertools
import logging
from collections.abc import Sequence

from clipper.clock import Cancellable, Clock
from clipper.errors import StoreUnavailable
from clipper.store.selection import SelectionStore

log = logging.getLogger(__name__)

_Key = tuple[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class ChoiceLogSettings:
    """Limits and times of one worker's `ChoiceLog`."""

    flush_s: float = 0.05
    """Longest time that a record waits before it is sent."""
    flush_records: int = 500
    """So many are sent at once."""
    retry_s: float = 0.5
    """Wait before records are sent again that the store did not take."""
    max_records: int = 20_000
    """Records kept here, stored or not; the oldest goes first."""
    max_bytes: int = 32 << 20
    """Their size together."""
    look_again_s: float = 0.05
    """Wait before the store is asked again for a record that it does not have."""
    find_s: float = 0.3
    """Longest time for finding records."""


class ChoiceLog:
    """The choices that one worker made. Belongs to the event loop's thread."""

    def __init__(
        self,
        clock: Clock,
        store: SelectionStore,
        settings: ChoiceLogSettings = ChoiceLogSettings(),
    ) -> None:
        self.dropped = 0
        """Records that the store never got because it was away for too long."""
        self._clock = clock
        self._store = store
        self._settings = settings
        self._records: collections.OrderedDict[_Key, bytes] = collections.OrderedDict()
        self._size_bytes = 0
        self._unsent: collections.OrderedDict[_Key, None] = collections.OrderedDict()
        self._flushing: asyncio.Task[None] | None = None
        self._timer: Cancellable | None = None

    def add(self, app: str, query_id: int, record: bytes) -> None:
        """Keep a record; it is stored soon. One of the same id is replaced."""
        key = (app, query_id)
        self._size_bytes += len(record) - len(self._records.pop(key, b""))
        self._records[key] = record
        self._unsent[key] = None
        while (
            len(self._records) > self._settings.max_records
            or self._size_bytes > self._settings.max_bytes
        ):
            self._forget_oldest()
        if self._flushing is None:
            if len(self._unsent) >= self._settings.flush_records:
                self._begin_flush()
            elif self._timer is None:
                self._timer = self._clock.call_later(self._settings.flush_s, self._begin_flush)

    async def find(self, app: str, query_ids: Sequence[int]) -> list[bytes | None]:
        """Return records of any worker, in order; None where there is none (any more).

        Raises:
            StoreUnavailable: not all are here, and the store cannot be asked.
        """
        found = {query_id: self._records.get((app, query_id)) for query_id in query_ids}
        give_up_at_s = self._clock.now() + self._settings.find_s
        while True:
            missing = [query_id for query_id, record in found.items() if record is None]
            if missing:
                found.update(
                    zip(missing, await self._store.read_choices(app, missing), strict=True)
                )
            if None not in found.values() or self._clock.now() >= give_up_at_s:
                return [found[query_id] for query_id in query_ids]
            await self._pause(self._settings.look_again_s)

    async def flush(self) -> None:
        """Try once to store what is not stored yet, for a graceful stop."""
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        if self._unsent:
            self._begin_flush()
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        self._stop_timer()

    def _forget_oldest(self) -> None:
        key, record = self._records.popitem(last=False)
        self._size_bytes -= len(record)
        if key in self._unsent:
            del self._unsent[key]
            self.dropped += 1

    def _begin_flush(self) -> None:
        self._stop_timer()
        self._flushing = asyncio.create_task(self._flush())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _flush(self) -> None:
        wait_s = self._settings.flush_s
        try:
            while self._unsent:
                await self._send()
                if len(self._unsent) < self._settings.flush_records:
                    break
        except StoreUnavailable as error:
            wait_s = self._settings.retry_s
            log.debug("%d choices wait for the store: %s", len(self._unsent), error)
        finally:
            self._flushing = None
            if self._unsent:
                self._timer = self._clock.call_later(wait_s, self._begin_flush)

    async def _send(self) -> None:
        """Store the oldest records."""
        batches: dict[str, dict[int, bytes]] = {}
        for key in itertools.islice(self._unsent, self._settings.flush_records):
            batches.setdefault(key[0], {})[key[1]] = self._records[key]
        for app, records in batches.items():
            await self._store.write_choices(app, records)
            for query_id, record in records.items():
                if self._records.get((app, query_id), record) is record:  # else replaced meanwhile
                    self._unsent.pop((app, query_id), None)

    async def _pause(self, delay_s: float) -> None:
        over = asyncio.Event()
        timer = self._clock.call_later(delay_s, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()
