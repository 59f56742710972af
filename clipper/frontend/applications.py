"""Keeps one worker's applications, models and links equal to the store's, and its lease alive.

Any change event leads to a full read (design decision 14). While the store is away the worker
serves on with what it has.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from clipper.batching.task import PredictTask
from clipper.cache.prediction_cache import PredictionCache
from clipper.datatypes import VersionedModelId
from clipper.errors import ClipperException, StoreUnavailable
from clipper.frontend.registry import WorkerRegistry
from clipper.query.fleet import Fleet
from clipper.query.processor import QueryProcessor
from clipper.query.selection_states import SelectionStates
from clipper.replicas.replica import Replica, ReplicaState
from clipper.settings import WorkerSettings
from clipper.store.base import (
    Change,
    ConfigSnapshot,
    ConfigStore,
    ReplicaRecord,
    WorkerLease,
)

log = logging.getLogger(__name__)


class FollowerObserver(Protocol):
    """Where the follower's state is measured."""

    def config_applied(self, revision: int) -> None:
        """A snapshot is in force."""

    def store_up(self, up: bool) -> None:
        """The store answered, or did not."""

    def application_removed(self, name: str) -> None:
        """An application is no longer registered."""


class _AlreadyKnown(ClipperException):
    """The store already remembers what was to be written."""


class ConfigFollower:
    """Applies snapshots to the processor and the fleet; renews the lease."""

    def __init__(
        self,
        store: ConfigStore,
        processor: QueryProcessor,
        fleet: Fleet,
        cache: PredictionCache[PredictTask],
        registry: WorkerRegistry,
        settings: WorkerSettings,
        observer: FollowerObserver,
        states: SelectionStates,
    ) -> None:
        self._store = store
        self._states = states
        self._processor = processor
        self._fleet = fleet
        self._cache = cache
        self._registry = registry
        self._settings = settings
        self._observer = observer
        self._snapshot = ConfigSnapshot()
        self._remembered: dict[str, str] = {}
        self._lease_due = asyncio.Event()
        self._readiness = asyncio.Event()
        self._awaited: set[VersionedModelId] = set()
        self.ready = False
        """The configuration was read once; stays true while the store is away."""

    async def replicas_returned(self, timeout_s: float) -> None:
        """Wait until every version that an earlier life of this worker fed has a replica again.

        Containers dial a restarted frontend within a second or two; a query answered before
        would get a default that nobody needs.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self.ready or any(
                    self._fleet.get(model) and not self._fleet.is_ready(model)
                    for model in self._awaited
                ):
                    await self._readiness.wait()
                    self._readiness.clear()
        except TimeoutError:
            log.warning("not every model has its replicas back after %.0f s", timeout_s)

    def readiness_changed(self) -> None:
        """Replicas came, went or became ready: routes and the lease follow."""
        self._processor.choose_serving()
        self._lease_due.set()
        self._readiness.set()

    async def run(self) -> None:
        """Follow the store until cancelled."""
        # The lease comes before the first read: a change in between is then waited for.
        await self._read_earlier_life()
        await self._renew_once()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._renew())
            tasks.create_task(self._states.follow())

    async def _follow(self) -> None:
        async for _ in self._store.changes():
            try:
                await self._apply(await self._present_snapshot())
                self._observer.store_up(True)
            except StoreUnavailable as error:
                # changes() yields again once the store is back.
                self._observer.store_up(False)
                log.warning("configuration not read: %s", error)

    async def _present_snapshot(self) -> ConfigSnapshot:
        """Return the configuration; most events are silences, and reading it whole takes long."""
        if self.ready and await self._store.read_revision() == self._snapshot.revision:
            return self._snapshot
        return await self._store.read_snapshot()

    async def _apply(self, snapshot: ConfigSnapshot) -> None:
        news = not self.ready or snapshot.revision != self._snapshot.revision
        if news:
            self._take(snapshot)
        # What the store could not tell at the time is asked again with the next event.
        await self._states.read_applications()
        if news:
            self.ready = True
            self._readiness.set()
            self._observer.config_applied(snapshot.revision)
            self._lease_due.set()

    def _take(self, snapshot: ConfigSnapshot) -> None:
        applications = self._processor.applications
        removed = set(applications.names()) - set(snapshot.applications)
        applications.apply(snapshot)
        gone = self._fleet.apply(snapshot, applications.tightest_slo_s)
        self._cache.drop_generations({record.generation for record in gone})
        self._processor.apply(snapshot)
        for name in removed:
            self._observer.application_removed(name)
        self._snapshot = snapshot
        self._remembered = {**snapshot.serving_versions, **self._remembered}

    async def _read_earlier_life(self) -> None:
        try:
            for lease in await self._store.read_leases():
                if lease.worker_id == self._settings.worker_id:
                    self._awaited = {replica.model for replica in lease.replicas}
        except StoreUnavailable as error:
            log.warning("no lease of an earlier life read: %s", error)

    async def _renew(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._settings.lease_renewal_s):
                    await self._lease_due.wait()
            except TimeoutError:
                pass  # the regular renewal
            self._lease_due.clear()
            await self._renew_once()

    async def _renew_once(self) -> None:
        try:
            await self._store.write_lease(self._lease(), self._settings.lease_ttl_s)
            self._registry.set_workers(await self._store.read_leases())
            await self._remember_served()
            await self._fetch_epoch()
        except StoreUnavailable as error:
            self._observer.store_up(False)
            log.warning("lease not renewed: %s", error)

    def _lease(self) -> WorkerLease:
        return WorkerLease(
            worker_id=self._settings.worker_id,
            rpc_address=self._registry.address,
            applied_revision=self._snapshot.revision,
            epoch=self._processor.ids.epoch,
            replicas=tuple(self._record(replica) for replica in self._fleet.replicas()),
        )

    def _record(self, replica: Replica) -> ReplicaRecord:
        state = replica.state
        if state is ReplicaState.READY and self._fleet.is_suspect(replica):
            state = ReplicaState.SUSPECT
        return ReplicaRecord(
            model=replica.model,
            replica_id=replica.replica_id,
            instance_id=replica.instance_id,
            input_type=replica.input_type,
            state=str(state),
        )

    async def _remember_served(self) -> None:
        """Write the versions that this worker switched to, for workers that start later.

        Only a switch is news: else workers that are served by different replicas would overwrite
        each other's memory for ever.
        """
        served = dict(self._processor.served_versions)
        switched = {n: v for n, v in served.items() if self._remembered.get(n) != v}
        if switched:
            await self._write_served(switched)
        self._remembered = served

    async def _write_served(self, switched: dict[str, str]) -> None:
        def decide(snapshot: ConfigSnapshot) -> Change:
            news = {
                name: version
                for name, version in switched.items()
                if snapshot.serving_versions.get(name) != version
                and name in snapshot.current_versions
            }
            if not news:
                raise _AlreadyKnown("nothing to write")
            return Change(serving_versions=news)

        try:
            await self._store.update(decide)
        except _AlreadyKnown:
            return

    async def _fetch_epoch(self) -> None:
        if self._processor.ids.wants_spare:
            self._processor.ids.spare_epoch = await self._store.next_epoch()
