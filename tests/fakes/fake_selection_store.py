"""Selection data in memory: what `RedisSelectionStore` does, without a server or expiry."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from clipper.errors import StoreUnavailable
from clipper.store.selection import (
    FeedbackWrite,
    SelectionStore,
    StateKey,
    StateUpdate,
    StoredState,
)


class FakeSelectionStore(SelectionStore):
    """Set `up` to False and every call raises StoreUnavailable."""

    def __init__(self) -> None:
        self.up = True
        self.open = asyncio.Event()
        """Cleared, writes and reads of states take until it is set."""
        self.open.set()
        self.lose_answers = False
        """Feedback is stored, and the writer hears that the store is away."""
        self.batches: list[list[str]] = []
        """Idempotency keys of each call of `write_feedback`."""
        self.writing = 0
        """Calls of `write_feedback` on their way now."""
        self.state_reads = 0
        self.choice_writes = 0
        self.choice_reads = 0
        self.choices: dict[tuple[str, int], bytes] = {}
        self.log: dict[tuple[str, int], list[bytes]] = {}
        self.states: dict[StateKey, StoredState] = {}
        self._seen: set[tuple[str, int, str]] = set()

    def _check(self) -> None:
        if not self.up:
            raise StoreUnavailable("the fake store was taken away")

    async def write_feedback(
        self, app: str, generation: int, writes: Sequence[FeedbackWrite]
    ) -> list[bool]:
        self.batches.append([write.idempotency_key for write in writes])
        self.writing += 1
        try:
            await self.open.wait()
        finally:
            self.writing -= 1
        self._check()
        results = [self._write(app, generation, write) for write in writes]
        if self.lose_answers:
            raise StoreUnavailable("the fake store's answer was lost")
        return results

    def _write(self, app: str, generation: int, write: FeedbackWrite) -> bool:
        seen = (app, generation, write.idempotency_key)
        if seen in self._seen:
            return False
        self._seen.add(seen)
        for update in write.updates:
            self.states[update.key] = _updated(self.states.get(update.key), update)
        if write.log_entry is not None:
            self.log.setdefault((app, generation), []).append(write.log_entry)
        return True

    async def read_states(self, keys: Sequence[StateKey]) -> list[StoredState]:
        self.state_reads += 1
        await self.open.wait()
        self._check()
        return [self.states.get(key, StoredState(0, {})) for key in keys]

    async def read_state_versions(self, keys: Sequence[StateKey]) -> list[int]:
        return [state.version for state in await self.read_states(keys)]

    @property
    def entries(self) -> list[bytes]:
        """The logs of all applications."""
        return [entry for log in self.log.values() for entry in log]

    async def write_choices(self, app: str, records: Mapping[int, bytes]) -> None:
        self.choice_writes += 1
        await self.open.wait()
        self._check()
        for query_id, record in records.items():
            self.choices[app, query_id] = record

    async def read_choices(self, app: str, query_ids: Sequence[int]) -> list[bytes | None]:
        self.choice_reads += 1
        self._check()
        return [self.choices.get((app, query_id)) for query_id in query_ids]

    async def read_feedback_log(self, app: str, generation: int, count: int) -> list[bytes]:
        self._check()
        return self.log.get((app, generation), [])[-count:] if count else []

    async def close(self) -> None:
        pass


def _updated(before: StoredState | None, update: StateUpdate) -> StoredState:
    values = dict(update.seed if before is None else before.values)
    for field, amount, start in update.increments:
        values[field] = values.get(field, start) + amount
    if update.clamp is not None:
        clamped = [field for field in values if field.startswith(f"{update.clamp.kind}/")]
        floor = max((values[field] for field in clamped), default=0.0) - update.clamp.depth
        values |= {field: max(values[field], floor) for field in clamped}
    return StoredState(1 if before is None else before.version + 1, values)
