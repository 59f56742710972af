"""The whole query path under a virtual clock: only the container and the store are fakes."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from clipper.batching.ports import BatchResult, DispatchSettings
from clipper.batching.task import PredictTask
from clipper.cache.prediction_cache import PredictionCache
from clipper.datatypes import DefaultReason, InputType, VersionedModelId
from clipper.frontend.decoding import pack_input
from clipper.frontend.registry import WorkerRegistry
from clipper.jsonfaults import parse_json
from clipper.query.applications import Application, Applications
from clipper.query.deadlines import DeadlineLines
from clipper.query.executor import TaskExecutor
from clipper.query.feedback import FeedbackService
from clipper.query.fleet import Fleet
from clipper.query.ids import QueryIds
from clipper.query.processor import QueryProcessor
from clipper.query.query import PredictRequest, Query
from clipper.query.selected import SelectedQuery
from clipper.query.selection_states import SelectionStates
from clipper.query.selector import Selector
from clipper.replicas.replica import Replica
from clipper.rpc import codec
from clipper.rpc.pb import model_container_pb2 as pb
from clipper.selection.policy import Arm, Combined
from clipper.selection.records import ChoiceRecord, decode_choice
from clipper.store.base import ApplicationRecord, ConfigSnapshot, ModelRecord
from clipper.store.selection import FeedbackWrite
from tests.fakes.fake_selection_store import FakeSelectionStore
from tests.fakes.fake_store import FakeStore
from tests.fakes.virtual_clock import VirtualClock

UNIX_TIME_S = 1_700_000_000.0


class ModelObserver:
    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def sent(self, queue_waits_s: list[float], slacks_s: list[float], cap: int) -> None:
        pass

    def answered(self, size: int, result: BatchResult, round_trip_s: float) -> None:
        pass

    def missed(self, count: int) -> None:
        self._counts["missed"] += count

    def cache_hit(self) -> None:
        self._counts["hit"] += 1

    def cache_miss(self) -> None:
        self._counts["miss"] += 1

    def cache_coalesced(self) -> None:
        self._counts["coalesced"] += 1

    def cache_bypassed(self) -> None:
        self._counts["bypassed"] += 1

    def model_error(self) -> None:
        self._counts["error"] += 1


class Observer:
    """Counts what the components report."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.finished: list[tuple[int, DefaultReason | None, float]] = []
        self.from_cache: list[tuple[str, float]] = []

    def model(self, model: VersionedModelId) -> ModelObserver:
        return ModelObserver(self.counts)

    def model_removed(self, model: VersionedModelId) -> None:
        self.counts["removed"] += 1

    def query_selected(self, query: SelectedQuery, combined: Combined) -> None:
        self.counts["selected"] += 1
        self.counts["late"] += len(query.late)

    def shadow_answered(self, query: SelectedQuery, arm: Arm, agrees: bool) -> None:
        self.counts["shadow agrees" if agrees else "shadow differs"] += 1

    def feedback_learned(
        self, application: Application, losses: Mapping[Arm, float], answer_loss: float | None
    ) -> None:
        self.counts["feedback"] += 1

    def query_finished(self, query: Query, latency_s: float) -> None:
        self.finished.append((query.query_id, query.reason, latency_s))

    def answered_from_cache(self, application: Application, latency_s: float) -> None:
        self.from_cache.append((application.name, latency_s))


class Choices:
    """Keeps the records of choices, as this worker and others would find them."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], bytes] = {}

    def add(self, app: str, query_id: int, record: bytes) -> None:
        self.records[app, query_id] = record

    async def find(self, app: str, query_ids: Sequence[int]) -> list[bytes | None]:
        return [self.records.get((app, query_id)) for query_id in query_ids]

    def of(self, query: Query, app: str = "app") -> ChoiceRecord:
        """Return the record of one query."""
        return decode_choice(self.records[app, query.query_id])


class Sink:
    """Stores feedback at once."""

    def __init__(self, store: FakeSelectionStore) -> None:
        self._store = store

    async def write(self, app: str, generation: int, write: FeedbackWrite) -> bool:
        [new] = await self._store.write_feedback(app, generation, [write])
        return new


class Container:
    """The far end of one replica's stream."""

    def __init__(
        self,
        bench: Bench,
        replica: Replica,
        sent: deque[pb.FrontendMessage],
        granted: int,
        hold: bool,
    ) -> None:
        self.replica = replica
        self._sent = sent
        self.batches: list[pb.Batch] = []
        self.others: list[pb.FrontendMessage] = []
        self._bench = bench
        self._hold = hold
        self._alive = True
        bench.fleet.joined(replica)
        self.grant(granted)

    def grant(self, granted: int) -> None:
        message = pb.CreditGrant(credits=granted, hold=self._hold)
        self.replica.receive(pb.ContainerMessage(credit_grant=message))

    def read(self) -> None:
        """Take what the frontend has sent."""
        while self._sent:
            message = self._sent.popleft()
            if message.WhichOneof("message") == "batch":
                self.batches.append(message.batch)
            else:
                self.others.append(message)

    @property
    def inputs(self) -> list[list[bytes]]:
        """The inputs of every batch received."""
        self.read()
        return [codec.split_outputs(batch.data, batch.sizes) for batch in self.batches]

    def answer(
        self,
        index: int = -1,
        outputs: Iterable[bytes] | None = None,
        errors: dict[int, str] | None = None,
    ) -> None:
        """Answer a batch, by default the last, with ``out:`` before each input."""
        inputs = self.inputs[index]
        texts = [b"out:" + item for item in inputs] if outputs is None else list(outputs)
        for place in errors or {}:
            texts[place] = b""
        reply = pb.BatchReply(
            batch_id=self.batches[index].batch_id,
            data=b"".join(texts),
            sizes=map(len, texts),
            errors=[pb.ItemError(index=i, message=text) for i, text in (errors or {}).items()],
            credits=int(self._hold),
        )
        self.replica.receive(pb.ContainerMessage(batch_reply=reply))

    def drain(self) -> None:
        self.replica.receive(pb.ContainerMessage(draining=pb.Draining()))

    def die(self) -> None:
        self._bench.fleet.left(self.replica, "killed by the test")


class Bench:
    """One frontend worker without HTTP, gRPC and Redis."""

    def __init__(self, cache_bytes: int = 1 << 20, max_queue_length: int = 100) -> None:
        self.clock = VirtualClock()
        self.store = FakeStore()
        self.observer = Observer()
        self.cache: PredictionCache[PredictTask] = PredictionCache(cache_bytes)
        self.applications = Applications()
        self.fleet = Fleet(
            self.clock, DispatchSettings(), self.observer, encode_probe, self._readiness_changed
        )
        self.executor = TaskExecutor(self.clock, self.cache, self.fleet, max_queue_length)
        self.fleet.connect_sink(self.executor)
        self.selection_store = FakeSelectionStore()
        self.choices = Choices()
        self.states = SelectionStates(
            self.clock, self.selection_store, self.applications.with_policy
        )
        ids = QueryIds(7)
        rng = random.Random(5)
        deadlines = DeadlineLines(self.clock)
        self.processor = QueryProcessor(
            self.clock,
            self.applications,
            self.fleet,
            self.executor,
            self.observer,
            ids,
            Selector(
                self.clock,
                self.executor,
                deadlines,
                self.states,
                self.choices,
                self.observer,
                ids,
                rng,
                lambda: UNIX_TIME_S,
            ),
            deadlines,
        )
        self.feedback = FeedbackService(
            self.clock,
            self.executor,
            deadlines,
            self.states,
            self.processor.arms,
            self.choices,
            Sink(self.selection_store),
            self.observer,
            rng,
            lambda: UNIX_TIME_S,
            lambda: f"id {ids.next()}",
        )
        self.registry = WorkerRegistry("qf-0", "here:7000", self.fleet, self.store)
        self.config = ConfigSnapshot()
        self.on_change = self.processor.choose_serving
        self._generation = 0
        self._instances = 0

    def _readiness_changed(self) -> None:
        self.on_change()

    def generation(self) -> int:
        self._generation += 1
        return self._generation

    def configure(
        self,
        apps: Iterable[ApplicationRecord] = (),
        models: Iterable[ModelRecord] = (),
        links: dict[str, tuple[str, ...]] | None = None,
        current: dict[str, str] | None = None,
        serving: dict[str, str] | None = None,
        delete_apps: Iterable[str] = (),
        delete_models: Iterable[VersionedModelId] = (),
    ) -> None:
        """Change the configuration and apply it, in the order of `ConfigFollower`."""
        old = self.config
        applications = {**old.applications, **{app.name: app for app in apps}}
        versions = {**old.models, **{model.id: model for model in models}}
        for name in delete_apps:
            del applications[name]
        for model in delete_models:
            del versions[model]
        self.config = ConfigSnapshot(
            revision=old.revision + 1,
            applications=applications,
            models=versions,
            links={**old.links, **(links or {})},
            current_versions={**old.current_versions, **(current or {})},
            serving_versions={**old.serving_versions, **(serving or {})},
        )
        self.applications.apply(self.config)
        gone = self.fleet.apply(self.config, self.applications.tightest_slo_s)
        self.cache.drop_generations({record.generation for record in gone})
        self.processor.apply(self.config)

    def app_record(
        self, name: str = "app", slo_ms: float = 100.0, **fields: object
    ) -> ApplicationRecord:
        record = ApplicationRecord(
            name=name,
            input_type=InputType.STRINGS,
            default_output="DEFAULT",
            latency_slo_micros=round(slo_ms * 1000),
            generation=self.generation(),
        )
        return dataclasses.replace(record, **fields)  # type: ignore[arg-type]

    def model_record(self, version: str = "1", name: str = "m", **fields: object) -> ModelRecord:
        record = ModelRecord(
            name=name,
            version=version,
            input_type=InputType.STRINGS,
            batch_size=10,
            generation=self.generation(),
        )
        return dataclasses.replace(record, **fields)  # type: ignore[arg-type]

    def serve(
        self,
        app: dict[str, object] | None = None,
        model: dict[str, object] | None = None,
        slo_ms: float = 100.0,
    ) -> Container:
        """Register application ``app`` on model ``m:1`` and connect a container."""
        self.configure(
            [self.app_record(slo_ms=slo_ms, **(app or {}))],
            [self.model_record(**(model or {}))],
            {"app": ("m",)},
            {"m": "1"},
        )
        return self.container()

    def container(
        self,
        version: str = "1",
        name: str = "m",
        input_type: InputType = InputType.STRINGS,
        granted: int = 2,
        hold: bool = True,
    ) -> Container:
        """Connect a container."""
        self._instances += 1
        sent: deque[pb.FrontendMessage] = deque()
        replica = Replica(
            VersionedModelId(name, version),
            self._instances - 1,
            f"instance-{self._instances}",
            input_type,
            self.registry,
            sent.append,
        )
        return Container(self, replica, sent, granted, hold)

    def ask(
        self, *inputs: bytes, app: str = "app", version: str | None = None, uid: str = ""
    ) -> PredictRequest:
        """Submit one request and let everything happen that is due now."""
        application = self.applications.get(app)
        assert application is not None
        candidates = self.processor.candidates(application, version)
        request = self.processor.submit(application, candidates, inputs, self.clock.now(), uid)
        self.clock.settle()
        return request


def encode_probe(record: ModelRecord) -> bytes:
    return pack_input(parse_json((record.probe_input or "").encode()), record.input_type)


def only(request: PredictRequest) -> Query:
    """Return the one query of a request."""
    [query] = request.queries
    return query


def answer(request: PredictRequest) -> str:
    """Return the text that a request of one query was answered with."""
    query = only(request)
    assert query.done, "there is no answer yet"
    assert query.output is not None, f"the default was given: {query.reason}"
    return query.output.text.decode()


def default(request: PredictRequest) -> DefaultReason:
    """Return why a request of one query got the default."""
    query = only(request)
    assert query.done, "there is no default yet"
    assert query.output is None
    assert query.reason is not None
    return query.reason


def break_policy(bench: Bench) -> Callable[[], None]:
    """Let the policy of application ``app`` raise on combining; return how to mend it."""
    application = bench.applications.get("app")
    assert application is not None
    sane = application.policy

    class Broken(type(sane)):  # type: ignore[misc]
        def __init__(self) -> None:
            self.__dict__ |= sane.__dict__

        def combine(self, *anything: object) -> Combined:
            raise ArithmeticError("broken")

    def restore() -> None:
        application.policy = sane

    application.policy = Broken()
    return restore
