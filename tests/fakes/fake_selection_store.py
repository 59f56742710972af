"""A selection store in memory, which can be taken away and brought back."""

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
        self.states: dict[StateKey, StoredState] = {}
        self.choices: dict[tuple[str, int], bytes] = {}
        self.log: list[bytes] = []
        self.seen: set[tuple[str, str]] = set()
        self.calls = 0
        self.reads: list[StateKey] = []
        self.gate = asyncio.Event()
        """Cleared: calls wait."""
        self.gate.set()

    async def _enter(self) -> None:
        self.calls += 1
        await self.gate.wait()
        if not self.up:
            raise StoreUnavailable("the fake store was taken away")

    async def write_feedback(
        self, app: str, generation: int, writes: Sequence[FeedbackWrite]
    ) -> list[bool]:
        await self._enter()
        return [self._write(app, write) for write in writes]

    def _write(self, app: str, write: FeedbackWrite) -> bool:
        if (app, write.idempotency_key) in self.seen:
            return False
        self.seen.add((app, write.idempotency_key))
        for update in write.updates:
            self._update(update)
        if write.log_entry is not None:
            self.log.append(write.log_entry)
        return True

    def _update(self, update: StateUpdate) -> None:
        stored = self.states.get(update.key)
        values = dict(update.seed if stored is None else stored.values)
        for increment in update.increments:
            values[increment.field] = (
                values.get(increment.field, increment.start) + increment.amount
            )
        if update.clamp is not None:
            kind = update.clamp.kind + "/"
            fields = [field for field in values if field.startswith(kind)]
            least = max((values[f] for f in fields), default=0.0) - update.clamp.depth
            values |= {field: max(values[field], least) for field in fields}
        version = 0 if stored is None else stored.version
        self.states[update.key] = StoredState(version + 1, values)

    async def read_states(self, keys: Sequence[StateKey]) -> list[StoredState]:
        await self._enter()
        self.reads += keys
        return [self.states.get(key, StoredState(0, {})) for key in keys]

    async def read_state_versions(self, keys: Sequence[StateKey]) -> list[int]:
        await self._enter()
        return [self.states.get(key, StoredState(0, {})).version for key in keys]

    async def write_choices(self, app: str, records: Mapping[int, bytes]) -> None:
        await self._enter()
        self.choices |= {(app, query_id): raw for query_id, raw in records.items()}

    async def read_choices(self, app: str, query_ids: Sequence[int]) -> list[bytes | None]:
        await self._enter()
        return [self.choices.get((app, query_id)) for query_id in query_ids]

    async def read_feedback_log(self, app: str, generation: int, count: int) -> list[bytes]:
        await self._enter()
        return self.log[-count:]
