"""A configuration store in memory, which can be taken away and brought back."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from clipper.datatypes import VersionedModelId
from clipper.errors import StoreUnavailable
from clipper.store.base import Change, ConfigSnapshot, ConfigStore, WorkerLease


class FakeStore(ConfigStore):
    """Holds one cluster. Set `up` to False and every call raises StoreUnavailable."""

    def __init__(self) -> None:
        self.up = True
        self.snapshot = ConfigSnapshot()
        self.leases: dict[str, WorkerLease] = {}
        self.updates = 0
        self.whole_reads = 0
        self._epochs = itertools.count(1)
        self._generations = itertools.count(1)
        self._numbers: dict[tuple[VersionedModelId, str], int] = {}
        self._changed = asyncio.Event()

    def announce(self) -> None:
        """Wake whoever follows `changes`."""
        self._changed.set()

    def _check(self) -> None:
        if not self.up:
            raise StoreUnavailable("the fake store was taken away")

    async def read_snapshot(self) -> ConfigSnapshot:
        self._check()
        self.whole_reads += 1
        return self.snapshot

    async def read_revision(self) -> int:
        self._check()
        return self.snapshot.revision

    async def update(self, decide: Callable[[ConfigSnapshot], Change]) -> int:
        self._check()
        change = decide(self.snapshot)
        self.snapshot = ConfigSnapshot(
            revision=self.snapshot.revision + 1,
            applications=self._merged(self.snapshot.applications, change.applications),
            models=self._merged(self.snapshot.models, change.models),
            links=self._merged(self.snapshot.links, change.links),
            current_versions=self._merged(self.snapshot.current_versions, change.current_versions),
            serving_versions=self._merged(self.snapshot.serving_versions, change.serving_versions),
        )
        self.updates += 1
        self.announce()
        return self.snapshot.revision

    def _merged(self, old: Mapping[Any, Any], news: Mapping[Any, Any]) -> dict[Any, Any]:
        merged = {**old, **news}
        return {key: self._numbered(value) for key, value in merged.items() if value is not None}

    def _numbered(self, value: Any) -> Any:
        if getattr(value, "generation", None) != 0:
            return value
        return dataclasses.replace(value, generation=next(self._generations))

    async def changes(self) -> AsyncIterator[None]:
        while True:
            yield
            await self._changed.wait()
            self._changed.clear()

    async def write_lease(self, lease: WorkerLease, ttl_s: float) -> None:
        self._check()
        self.leases[lease.worker_id] = lease

    async def delete_lease(self, worker_id: str) -> None:
        self._check()
        self.leases.pop(worker_id, None)

    async def read_leases(self) -> list[WorkerLease]:
        self._check()
        return [self.leases[worker] for worker in sorted(self.leases)]

    async def next_epoch(self) -> int:
        self._check()
        return next(self._epochs)

    async def replica_number(self, model: VersionedModelId, instance_id: str) -> int:
        self._check()
        taken = sum(known == model for known, _ in self._numbers)
        return self._numbers.setdefault((model, instance_id), taken)

    async def close(self) -> None:
        pass
