"""A frontend worker's query path under a virtual clock: only containers and the store are missing.

Queries go through the real processor, selector, executor, fleet, dispatchers and deadlines. A
container is what the replica's stream ends in here: it takes as long as it is told to, and answers
what was computed beforehand.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from benchmarks.simulation.clock import EventClock
from clipper.batching.ports import BatchResult, DispatchSettings
from clipper.batching.task import PredictTask
from clipper.cache.prediction_cache import PredictionCache
from clipper.datatypes import InputType, VersionedModelId
from clipper.query.applications import Application, Applications
from clipper.query.deadlines import DeadlineLines
from clipper.query.executor import TaskExecutor
from clipper.query.fleet import Fleet
from clipper.query.ids import QueryIds
from clipper.query.processor import QueryProcessor
from clipper.query.query import PredictRequest, Query
from clipper.query.selected import SelectedQuery
from clipper.query.selection_states import SelectionStates
from clipper.query.selector import Selector
from clipper.replicas.replica import BatchReply, Replica
from clipper.rpc import codec
from clipper.rpc.pb import model_container_pb2 as pb
from clipper.selection.policy import Arm, Combined, SelectionPolicy
from clipper.store.base import ApplicationRecord, ConfigSnapshot, ModelRecord
from clipper.store.redis_selection import RedisSelectionStore

_APP = "ensemble"
_DEPTH = 2
"""Batches in a container's pipe, the one being computed included."""

Seconds = Callable[[int], float]
"""Size of a batch → how long it takes this time."""


@dataclasses.dataclass(frozen=True, slots=True)
class SimulatedModel:
    """One model with one container."""

    answers: Sequence[bytes]
    """Output by number of the input."""
    seconds: Seconds


@dataclasses.dataclass(slots=True)
class Reply:
    """What one query was answered with, and when."""

    number: int
    """Of the input."""
    output: bytes | None
    """None: the default."""
    latency_s: float
    unheard: float
    """Share of the models asked that were not heard when the reply left."""


class SimulatedFrontend:
    """One application on all of the models."""

    def __init__(
        self, models: Sequence[SimulatedModel], policy: SelectionPolicy, slo_s: float, batch: int
    ) -> None:
        """``batch``: the most queries that a container is sent at once."""
        self.clock = clock = EventClock()
        self.replies: dict[int, Reply] = {}
        cache: PredictionCache[PredictTask] = PredictionCache(1)
        self._applications = Applications()
        fleet = Fleet(clock, DispatchSettings(), self, lambda record: b"", self._changed)
        executor = TaskExecutor(clock, cache, fleet, max_queue_length=100_000)
        fleet.connect_sink(executor)
        ids, deadlines = QueryIds(1), DeadlineLines(clock)
        # Nothing learns here and there are no users: the store is never asked.
        store = RedisSelectionStore("unix:///nowhere", "simulated")
        states = SelectionStates(clock, store, self._applications.with_policy)
        rng = random.Random(1)
        selector = Selector(clock, executor, deadlines, states, self, self, ids, rng, clock.now)
        self._processor = QueryProcessor(
            clock, self._applications, fleet, executor, self, ids, selector, deadlines
        )
        self._configure(fleet, models, policy, slo_s, batch)
        for number, model in enumerate(models):
            SimulatedContainer(clock, fleet, _model_id(number), model)

    def run(self, arrivals_s: Iterable[float], numbers: Sequence[int], until_s: float) -> None:
        """Let queries come at the given times, with the inputs of these numbers in turn."""
        application = self._applications.get(_APP)
        assert application is not None
        upcoming = iter(numbers)

        def arrived() -> None:
            number = next(upcoming)
            candidates = self._processor.candidates(application, None)
            request = self._processor.submit(
                application, candidates, [str(number).encode()], self.clock.now()
            )
            request.on_done = lambda: self._answered(number, request)

        self.clock.run(until_s, arrivals_s, arrived)

    def _configure(
        self,
        fleet: Fleet,
        models: Sequence[SimulatedModel],
        policy: SelectionPolicy,
        slo_s: float,
        batch: int,
    ) -> None:
        names = [_model_id(number).name for number in range(len(models))]
        app = ApplicationRecord(
            _APP, InputType.STRINGS, "default", round(slo_s * 1e6), policy.name, generation=1
        )
        records = [
            ModelRecord(name, "1", InputType.STRINGS, batch_size=batch, cache=False, generation=n)
            for n, name in enumerate(names, start=2)
        ]
        snapshot = ConfigSnapshot(
            revision=1,
            applications={_APP: app},
            models={record.id: record for record in records},
            links={_APP: tuple(names)},
            current_versions=dict.fromkeys(names, "1"),
        )
        self._applications.apply(snapshot)
        application = self._applications.get(_APP)
        assert application is not None
        application.policy = policy
        fleet.apply(snapshot, self._applications.tightest_slo_s)
        self._processor.apply(snapshot)

    def _changed(self) -> None:
        self._processor.choose_serving()

    def _answered(self, number: int, request: PredictRequest) -> None:
        (query,) = request.queries
        reply = self.replies[query.query_id]
        reply.number = number
        reply.output = None if query.output is None else query.output.text

    def add(self, app: str, query_id: int, record: bytes) -> None:
        """Choices are not kept."""

    def model(self, model: VersionedModelId) -> _Unobserved:
        """Batches and tasks are not counted."""
        return _Unobserved()

    def model_removed(self, model: VersionedModelId) -> None:
        """None is."""

    def shadow_answered(self, query: SelectedQuery, arm: Arm, agrees: bool) -> None:
        """There are no shadows."""

    def query_finished(self, query: Query, latency_s: float) -> None:
        """Write down when."""
        assert isinstance(query, SelectedQuery)
        unheard = 1.0 - len(query.votes) / len(query.asked)
        self.replies[query.query_id] = Reply(-1, None, latency_s, unheard)

    def answered_from_cache(self, application: Application, latency_s: float) -> None:
        """Only plain applications have such answers, and there is none."""

    def query_selected(self, query: SelectedQuery, combined: Combined) -> None:
        """See `query_finished`."""


class SimulatedContainer:
    """The far end of a replica's stream; batches wait for each other, in order."""

    def __init__(
        self, clock: EventClock, fleet: Fleet, model: VersionedModelId, spec: SimulatedModel
    ) -> None:
        self._clock = clock
        self._spec = spec
        self._pipe: deque[pb.Batch] = deque()
        self._replica = Replica(
            model, 0, model.name, InputType.STRINGS, _Listener(fleet), self._receive
        )
        fleet.joined(self._replica)
        grant = pb.CreditGrant(credits=_DEPTH, hold=True)
        self._replica.receive(pb.ContainerMessage(credit_grant=grant))

    def _receive(self, message: pb.FrontendMessage) -> None:
        if message.WhichOneof("message") == "batch":
            self._pipe.append(message.batch)
            if len(self._pipe) == 1:
                self._compute()

    def _compute(self) -> None:
        seconds = self._spec.seconds(len(self._pipe[0].sizes))
        self._clock.call_later(seconds, lambda: self._computed(seconds))

    def _computed(self, compute_s: float) -> None:
        batch = self._pipe.popleft()
        if self._pipe:
            self._compute()
        inputs = codec.split_outputs(batch.data, batch.sizes)
        outputs = [self._spec.answers[int(number)] for number in inputs]
        reply = pb.BatchReply(
            batch_id=batch.batch_id,
            data=b"".join(outputs),
            sizes=map(len, outputs),
            compute_s=compute_s,
            credits=1,
        )
        self._replica.receive(pb.ContainerMessage(batch_reply=reply))


class _Listener:
    def __init__(self, fleet: Fleet) -> None:
        self.replica_pumped = fleet.pumped
        self.replica_answered: Callable[[Replica, int, BatchReply], None] = fleet.answered
        self.replica_draining = fleet.draining


class _Unobserved:
    def sent(self, queue_waits_s: list[float], slacks_s: list[float], cap: int) -> None:
        pass

    def answered(self, size: int, result: BatchResult, round_trip_s: float) -> None:
        pass

    def missed(self, count: int) -> None:
        pass

    def cache_hit(self) -> None:
        pass

    def cache_miss(self) -> None:
        pass

    def cache_coalesced(self) -> None:
        pass

    def cache_bypassed(self) -> None:
        pass

    def model_error(self) -> None:
        pass


def _model_id(number: int) -> VersionedModelId:
    return VersionedModelId(f"member-{number}", "1")
