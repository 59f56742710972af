"""The model versions in force, their replicas, and which of them serve.

The fleet joins what the store says is registered with what has dialled in. It is the registry that
the gRPC service reports to, and the place where the executor finds a version's queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from clipper.batching.catalog import make_batch_policy
from clipper.batching.dispatcher import Dispatcher
from clipper.batching.lag import LagEstimate
from clipper.batching.lane import DispatcherLane
from clipper.batching.ports import DispatchObserver, DispatchSettings, TaskSink
from clipper.batching.queue import ModelQueue
from clipper.clock import Clock
from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.errors import InvalidRequest
from clipper.replicas.replica import BatchReply, Replica, ReplicaState
from clipper.store.base import ConfigSnapshot, ModelRecord

log = logging.getLogger(__name__)

_PROBE_BUDGET_S = 60.0


class ModelObserver(DispatchObserver, Protocol):
    """Where the measurements of one model version go: its batches and its tasks."""

    def cache_hit(self) -> None:
        """The output was there."""

    def cache_miss(self) -> None:
        """A replica must compute it."""

    def cache_coalesced(self) -> None:
        """The same input is being computed; the query waits for that."""

    def cache_bypassed(self) -> None:
        """The version is registered without a cache; a replica must compute the output."""

    def model_error(self) -> None:
        """The model failed on one input."""


class FleetObserver(Protocol):
    """Where the fleet's measurements go."""

    def model(self, model: VersionedModelId) -> ModelObserver:
        """Return the observer of one model version."""

    def model_removed(self, model: VersionedModelId) -> None:
        """A version is no longer registered."""


class ServedModel:
    """One registered model version: its queue and the dispatchers of its ready replicas."""

    def __init__(
        self,
        record: ModelRecord,
        lane: DispatcherLane,
        queue: ModelQueue,
        observer: ModelObserver,
    ) -> None:
        self.record = record
        self.id = record.id
        self.lane = lane
        self.queue = queue
        self.observer = observer
        self.dispatchers: dict[Replica, Dispatcher] = {}
        self.probes: dict[Replica, int] = {}

    @property
    def ready(self) -> bool:
        """Whether a replica serves this version now."""
        for dispatcher in self.dispatchers.values():  # noqa: SIM110 - asked for every query
            if not dispatcher.draining:
                return True
        return False


class Fleet:
    """All model versions and replicas of one frontend worker."""

    def __init__(
        self,
        clock: Clock,
        settings: DispatchSettings,
        observer: FleetObserver,
        encode_probe: Callable[[ModelRecord], bytes],
        on_change: Callable[[], None],
        lag: LagEstimate | None = None,
    ) -> None:
        """``on_change`` is told whenever readiness or the set of replicas changed.

        ``lag`` is the event loop's; without one it counts as none.
        """
        self._lag = lag
        self._clock = clock
        self._settings = settings
        self._observer = observer
        self._encode_probe = encode_probe
        self._on_change = on_change
        self._models: dict[VersionedModelId, ServedModel] = {}
        self._replicas: dict[VersionedModelId, list[Replica]] = {}
        self._sink: TaskSink | None = None

    def connect_sink(self, sink: TaskSink) -> None:
        """Say where outcomes of tasks go; once, before the first snapshot."""
        self._sink = sink

    def get(self, model: VersionedModelId) -> ServedModel | None:
        """Return a registered version."""
        return self._models.get(model)

    def is_ready(self, model: VersionedModelId) -> bool:
        """Whether a version is registered and has a replica that serves."""
        served = self._models.get(model)
        return served is not None and served.ready

    def record(self, model: VersionedModelId) -> ModelRecord | None:
        """Return the registered record of a version."""
        served = self._models.get(model)
        return served.record if served else None

    def models(self) -> list[ServedModel]:
        """Return every registered version."""
        return list(self._models.values())

    def replicas(self) -> list[Replica]:
        """Return every connected replica."""
        return [replica for replicas in self._replicas.values() for replica in replicas]

    def apply(
        self, snapshot: ConfigSnapshot, slo_of: Callable[[str], float | None]
    ) -> list[ModelRecord]:
        """Bring the versions to a snapshot; return the records that are gone or were replaced.

        ``slo_of`` gives the tightest latency objective of a model's applications.
        """
        gone = []
        for model, served in list(self._models.items()):
            if snapshot.models.get(model) != served.record:
                gone.append(served.record)
                self._unregister(model)
        for model, record in snapshot.models.items():
            if model not in self._models:
                self._register(record)
            slo_s = slo_of(model.name)
            if slo_s is not None:
                self._models[model].lane.set_slo(slo_s)
        return gone

    def is_suspect(self, replica: Replica) -> bool:
        """Whether a replica's batch is so late that it is not being fed."""
        served = self._models.get(replica.model)
        dispatcher = served.dispatchers.get(replica) if served else None
        return dispatcher is not None and dispatcher.suspect

    def joined(self, replica: Replica) -> None:
        """A container registered."""
        self._replicas.setdefault(replica.model, []).append(replica)
        log.info("replica %s #%s joined", replica.model, replica.replica_id)
        self._on_change()

    def left(self, replica: Replica, reason: str) -> None:
        """A container's stream ended; its batches go back to the queue."""
        log.info("replica %s #%s left: %s", replica.model, replica.replica_id, reason)
        replicas = self._replicas.get(replica.model, [])
        if replica in replicas:
            replicas.remove(replica)
        served = self._models.get(replica.model)
        if served is not None:
            served.probes.pop(replica, None)
            self._detach(served, replica, lost=True)
            served.lane.wake()
        self._on_change()

    def pumped(self, replica: Replica) -> None:
        """Credits came."""
        served = self._models.get(replica.model)
        dispatcher = served.dispatchers.get(replica) if served else None
        if dispatcher is not None:
            dispatcher.pump()
        elif served is not None and self._may_be_admitted(served, replica):
            self._admit(served, replica)
        elif replica.credits and not replica.holds_credits:
            # Other frontends may have a use for them.
            replica.return_credits()

    def answered(self, replica: Replica, batch_id: int, reply: BatchReply) -> None:
        """A batch, or the probe, was answered."""
        served = self._models.get(replica.model)
        if served is None:
            return
        if served.probes.get(replica) == batch_id:
            del served.probes[replica]
            self._probe_answered(served, replica, reply)
            return
        dispatcher = served.dispatchers.get(replica)
        if dispatcher is not None:
            dispatcher.batch_answered(batch_id, reply)
        else:
            self.pumped(replica)

    def draining(self, replica: Replica) -> None:
        """The container takes nothing more."""
        served = self._models.get(replica.model)
        dispatcher = served.dispatchers.get(replica) if served else None
        if dispatcher is not None:
            dispatcher.draining = True
        if replica.credits:
            # With its credits back the container knows that nothing more is on its way.
            replica.return_credits()
        self._on_change()

    def _register(self, record: ModelRecord) -> None:
        if self._sink is None:
            raise RuntimeError("connect_sink comes before the first snapshot")
        sink = self._sink
        observer = self._observer.model(record.id)
        lane = DispatcherLane(
            self._clock, self._settings_of(record), sink, observer, record.generation, self._lag
        )
        queue = ModelQueue(lambda task: sink.failed(task, DefaultReason.SLO, ""))
        served = self._models[record.id] = ServedModel(record, lane, queue, observer)
        for replica in self._replicas.get(record.id, []):
            if self._may_be_admitted(served, replica):
                self._admit(served, replica)

    def _settings_of(self, record: ModelRecord) -> DispatchSettings:
        base = self._settings
        return DispatchSettings(
            max_batch_bytes=base.max_batch_bytes,
            batch_wait_s=record.batch_wait_ms / 1e3,
            objective_share=base.objective_share,
            late_factor=base.late_factor,
            late_floor_s=base.late_floor_s,
        )

    def _unregister(self, model: VersionedModelId) -> None:
        served = self._models.pop(model)
        for replica in list(served.dispatchers):
            self._detach(served, replica, lost=True)
        for replica in self._replicas.get(model, []):
            if replica.state is not ReplicaState.DRAINING:
                # The next registration may have another probe, or another input type.
                replica.state = ReplicaState.CONNECTED
        for task in served.queue.drain():
            served.lane.sink.failed(task, DefaultReason.NO_REPLICA, "")
        self._observer.model_removed(model)

    @staticmethod
    def _may_be_admitted(served: ServedModel, replica: Replica) -> bool:
        return replica.state is ReplicaState.CONNECTED and replica not in served.probes

    def _admit(self, served: ServedModel, replica: Replica) -> None:
        """Let a connected replica serve, after its probe if the version has one."""
        if replica.input_type is not served.record.input_type:
            log.error(
                "replica %s #%s takes %s but the model is registered for %s; it gets no queries",
                replica.model,
                replica.replica_id,
                replica.input_type,
                served.record.input_type,
            )
            return
        if served.record.probe_input is None:
            self._attach(served, replica)
            return
        if not replica.credits:
            # A container that several frontends share gives a credit when asked.
            replica.send_demand(1, _PROBE_BUDGET_S)
            return
        try:
            probe = self._encode_probe(served.record)
        except InvalidRequest as fault:
            # Another version may have written it; only this model must suffer.
            self._refuse(replica, f"the probe input cannot be read: {fault}")
            return
        served.probes[replica] = replica.send_batch(
            [probe], [_PROBE_BUDGET_S], served.record.generation, None, probe=True
        )

    def _probe_answered(self, served: ServedModel, replica: Replica, reply: BatchReply) -> None:
        if replica.state is ReplicaState.DRAINING:
            return
        if reply.errors:
            self._refuse(replica, f"it failed on the probe input: {reply.errors[0]}")
        else:
            self._attach(served, replica)

    def _refuse(self, replica: Replica, reason: str) -> None:
        replica.state = ReplicaState.PROBE_FAILED
        log.error("replica %s #%s gets no queries: %s", replica.model, replica.replica_id, reason)
        self._on_change()

    def _attach(self, served: ServedModel, replica: Replica) -> None:
        record = served.record
        policy = make_batch_policy(record.batch_policy, record.batch_size)
        dispatcher = Dispatcher(replica, served.queue, policy, served.lane)
        served.dispatchers[replica] = dispatcher
        served.lane.dispatchers.append(dispatcher)
        replica.state = ReplicaState.READY
        log.info("replica %s #%s is ready", replica.model, replica.replica_id)
        self._on_change()
        dispatcher.pump()
        served.lane.rescue()

    def _detach(self, served: ServedModel, replica: Replica, lost: bool) -> None:
        dispatcher = served.dispatchers.pop(replica, None)
        if dispatcher is not None:
            served.lane.dispatchers.remove(dispatcher)
            dispatcher.close(lost)
