"""One worker follows the store: what it applies, remembers, and does while the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from clipper.datatypes import VersionedModelId
from clipper.frontend.applications import ConfigFollower
from clipper.settings import WorkerSettings
from clipper.store.base import Change
from clipper.store.selection import StateKey, StoredState
from tests.fakes.fake_store import FakeStore
from tests.unit.query.support import Bench


class FollowerObserver:
    def __init__(self) -> None:
        self.applied: list[int] = []
        self.removed: list[str] = []
        self.store_states: list[bool] = []

    def config_applied(self, revision: int) -> None:
        self.applied.append(revision)

    def store_up(self, up: bool) -> None:
        self.store_states.append(up)

    def application_removed(self, name: str) -> None:
        self.removed.append(name)


class Worker(Bench):
    """A bench whose configuration comes from a store."""

    def __init__(self, store: FakeStore, worker_id: str = "qf-0") -> None:
        super().__init__()
        self.shared = store
        self.watched = FollowerObserver()
        settings = WorkerSettings(worker_id=worker_id, lease_renewal_s=0.02)
        self.follower = ConfigFollower(
            store,
            self.processor,
            self.fleet,
            self.cache,
            self.registry,
            settings,
            self.watched,
            self.states,
        )
        self.on_change = self.follower.readiness_changed
        self.running = asyncio.create_task(self.follower.run())

    async def stop(self) -> None:
        self.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.running

    def applied(self) -> bool:
        return self.watched.applied[-1:] == [self.shared.snapshot.revision]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - conditions have no events
            await asyncio.sleep(0.001)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    running = Worker(FakeStore())
    try:
        await eventually(running.applied)
        yield running
    finally:
        await running.stop()


async def register(worker: Worker, *versions: str, current: str | None = None) -> None:
    models = {
        VersionedModelId("m", version): worker.model_record(version, generation=0)
        for version in versions
    }
    app = worker.app_record(generation=0)
    change = Change({"app": app}, models, {"app": ("m",)}, {"m": current or versions[0]})
    await worker.shared.update(lambda snapshot: change)
    await eventually(worker.applied)


async def test_changes_are_applied_and_shown_in_the_lease(worker: Worker) -> None:
    await register(worker, "1")
    worker.container("1")
    store = worker.shared
    await eventually(lambda: store.leases["qf-0"].replicas != ())

    lease = store.leases["qf-0"]
    assert lease.applied_revision >= 1
    assert [(str(r.model), r.state) for r in lease.replicas] == [("m:1", "ready")]
    assert worker.applications.get("app") is not None

    await store.update(lambda snapshot: Change(applications={"app": None}))
    await eventually(lambda: worker.watched.removed == ["app"])
    assert worker.applications.get("app") is None


async def test_a_deleted_versions_answers_leave_the_cache(worker: Worker) -> None:
    await register(worker, "1")
    container = worker.container("1")
    worker.ask(b"x")
    container.answer()
    assert len(worker.cache) == 1

    await worker.shared.update(lambda s: Change(models={VersionedModelId("m", "1"): None}))
    await eventually(lambda: len(worker.cache) == 0)


async def test_without_the_store_the_worker_serves_on_and_catches_up(worker: Worker) -> None:
    await register(worker, "1")
    container = worker.container("1")
    worker.shared.up = False
    worker.shared.announce()
    await eventually(lambda: worker.watched.store_states[-1:] == [False])

    request = worker.ask(b"x")
    container.answer()
    assert request.queries[0].output is not None

    worker.shared.up = True
    await register(worker, "1", "2")
    assert worker.watched.store_states[-1]


async def test_selection_state_that_could_not_be_loaded_is_loaded_later(worker: Worker) -> None:
    worker.selection_store.up = False
    change = Change({"app": worker.app_record(generation=0, policy="exp3")})
    await worker.shared.update(lambda snapshot: change)
    await eventually(lambda: worker.applications.get("app") is not None)
    await eventually(lambda: worker.watched.store_states[-1:] == [False])
    application = worker.applications.get("app")
    assert application is not None
    key = StateKey("app", application.record.generation)
    worker.selection_store.states[key] = StoredState(3, {"led/n": 3.0})
    assert worker.states.of_application(application) == {}

    worker.selection_store.up = True
    worker.shared.announce()
    await eventually(lambda: worker.states.of_application(application) == {"led/n": 3.0})


async def test_an_application_without_a_policy_needs_no_selection_state(worker: Worker) -> None:
    worker.selection_store.up = False
    await register(worker, "1")

    assert worker.selection_store.state_reads == 0


async def test_an_unknown_policy_spoils_only_its_own_application(worker: Worker) -> None:
    bad = worker.app_record("bad", policy="FromTheFuture", generation=0)
    await worker.shared.update(lambda snapshot: Change({"bad": bad}))
    await register(worker, "1")

    assert worker.applications.get("app") is not None
    assert not worker.running.done()


async def test_what_did_not_change_is_not_read_again(worker: Worker) -> None:
    await register(worker, "1")
    reads, looks = worker.shared.whole_reads, len(worker.watched.store_states)
    worker.shared.announce()
    await eventually(lambda: len(worker.watched.store_states) > looks)
    assert worker.shared.whole_reads == reads

    await register(worker, "1", "2")
    assert worker.shared.whole_reads > reads


async def test_a_switch_is_remembered_for_workers_that_start_later(worker: Worker) -> None:
    await register(worker, "1", "2", current="1")
    worker.container("1")
    await eventually(lambda: worker.shared.snapshot.serving_versions == {"m": "1"})
    await worker.shared.update(lambda s: Change(current_versions={"m": "2"}))
    await eventually(worker.applied)

    late = Worker(worker.shared, "qf-1")
    try:
        await eventually(late.applied)
        late.container("2")
        late.container("1")
        await eventually(lambda: worker.shared.snapshot.serving_versions == {"m": "2"})
    finally:
        await late.stop()


async def test_workers_with_different_replicas_do_not_overwrite_each_other(
    worker: Worker,
) -> None:
    other = Worker(worker.shared, "qf-1")
    try:
        await register(worker, "1", "2", current="1")
        await eventually(other.applied)
        worker.container("1")
        other.container("1")
        await eventually(lambda: worker.shared.snapshot.serving_versions == {"m": "1"})
        await worker.shared.update(lambda s: Change(current_versions={"m": "2"}))
        await eventually(lambda: worker.applied() and other.applied())
        other.container("2")
        await eventually(lambda: worker.shared.snapshot.serving_versions == {"m": "2"})
        updates = worker.shared.updates
        for _ in range(5):
            renewed = [worker.shared.leases.pop(name) for name in ("qf-0", "qf-1")]
            await eventually(lambda: len(worker.shared.leases) == 2)
            assert renewed

        assert worker.shared.updates == updates
        assert worker.processor.served_versions == {"m": "1"}
    finally:
        await other.stop()


async def test_a_spare_epoch_is_fetched_when_half_of_the_ids_are_used(worker: Worker) -> None:
    ids = worker.processor.ids
    ids._counter = (1 << 31) + 1
    await eventually(lambda: ids.spare_epoch is not None)

    first = ids.spare_epoch
    worker.shared.leases.clear()
    await eventually(lambda: bool(worker.shared.leases))
    assert ids.spare_epoch == first, "one is enough"
