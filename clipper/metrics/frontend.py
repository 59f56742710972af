"""The query frontend's metrics, as objects that the hot path calls by attribute.

`FrontendMetrics` hands out one `ApplicationMetrics` per application and one `ModelMetrics` per
model version; keep them, do not look them up for each query. All belongs to the event loop's
thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

from clipper.datatypes import DefaultReason
from clipper.metrics import families
from clipper.metrics.instruments import Counter, Gauge
from clipper.metrics.policies import PolicyMetrics
from clipper.metrics.registry import Family, MetricRegistry
from clipper.metrics.snapshot import Snapshot


class BatchTimes(Protocol):
    """The part of a replica's answer that is measured."""

    @property
    def queue_s(self) -> float:
        """Seconds that the batch waited in the container."""

    @property
    def compute_s(self) -> float:
        """Seconds that the model computed."""


class ApplicationMetrics:
    """Measurements of one application; one call for each query."""

    __slots__ = ("_defaults", "_latency", "_predictions", "_throughput")

    def __init__(self, registry: MetricRegistry, app: str) -> None:
        self._latency = registry.histogram(families.PREDICTION_LATENCY, app)
        self._predictions = registry.counter(families.PREDICTIONS, app)
        self._throughput = registry.meter(families.PREDICTION_THROUGHPUT, app)
        self._defaults = {
            reason: registry.counter(families.DEFAULT_PREDICTIONS, app, reason.value)
            for reason in DefaultReason
        }

    def answered(self, latency_s: float) -> None:
        """A model's output left, ``latency_s`` after the query's arrival."""
        self._latency.observe(latency_s)
        self._predictions.value += 1
        self._throughput.count += 1

    def defaulted(self, latency_s: float, reason: DefaultReason) -> None:
        """The default left instead (or an error, where the application asked for errors)."""
        self.answered(latency_s)
        self._defaults[reason].value += 1


class ModelMetrics:
    """Measurements of one model version; satisfies `query.fleet.ModelObserver`."""

    def __init__(self, registry: MetricRegistry, name: str, version: str) -> None:
        self._registry = registry
        self._labels = (name, version)
        self._removed = False
        self.queue_wait = registry.histogram(families.QUEUE_WAIT, name, version)
        self.batch_wait = registry.histogram(families.BATCH_WAIT, name, version)
        self.batch_size = registry.histogram(families.BATCH_SIZE, name, version)
        self.compute = registry.histogram(families.MODEL_COMPUTE, name, version)
        self.round_trip = registry.histogram(families.ROUND_TRIP, name, version)
        self.slack = registry.histogram(families.DEADLINE_SLACK, name, version)
        self.errors = registry.counter(families.MODEL_ERRORS, name, version)
        self.misses = registry.counter(families.DEADLINE_MISSES, name, version)
        self._latency = registry.histogram(families.MODEL_LATENCY, name, version)
        self._slots = registry.counter(families.BATCH_SLOTS, name, version)
        self._throughput = registry.meter(families.MODEL_THROUGHPUT, name, version)
        self._all_throughput = registry.meter(families.ALL_THROUGHPUT)
        self._hits, self._all_hits = self._lookups("hit")
        self._misses, self._all_misses = self._lookups("miss")
        self._coalesced, self._all_coalesced = self._lookups("coalesced")
        self._bypassed = registry.counter(families.CACHE_BYPASSED, name, version)
        self._all_bypassed = registry.counter(families.ALL_TASKS, "bypassed")

    def cache_hit(self) -> None:
        """A query found its output in the cache."""
        self._hits.value += 1
        self._all_hits.value += 1

    def cache_miss(self) -> None:
        """A query has to be computed."""
        self._misses.value += 1
        self._all_misses.value += 1

    def cache_coalesced(self) -> None:
        """A query joined an equal one that is being computed."""
        self._coalesced.value += 1
        self._all_coalesced.value += 1

    def cache_bypassed(self) -> None:
        """A query of a model whose cache is off."""
        self._bypassed.value += 1
        self._all_bypassed.value += 1

    def model_error(self) -> None:
        """The model failed on one input."""
        self.errors.value += 1

    def missed(self, count: int) -> None:
        """So many queries got no answer in time; model errors are not among them."""
        self.misses.value += count

    def sent(self, queue_waits_s: Sequence[float], slacks_s: Sequence[float], cap: int) -> None:
        """A batch left; ``cap`` is how many queries it might have held."""
        self.queue_wait.observe_many(queue_waits_s)
        self.slack.observe_many(slacks_s)
        self._slots.value += cap

    def answered(self, size: int, result: BatchTimes, round_trip_s: float) -> None:
        """A batch of ``size`` queries came back."""
        self.batch_size.observe(size)
        self.round_trip.observe(round_trip_s)
        self._latency.observe_repeated(round_trip_s, size)
        self._throughput.count += size
        self._all_throughput.count += size
        # A container of any make reports these; one NaN would poison the sums for ever.
        if 0.0 <= result.queue_s < math.inf:
            self.batch_wait.observe(result.queue_s)
        if 0.0 <= result.compute_s < math.inf:
            self.compute.observe(result.compute_s)

    def queue_length(self, length: int) -> None:
        """Show how many queries wait."""
        self._gauge(families.QUEUE_LENGTH).set(length)

    def replicas(self, state: str, count: int) -> None:
        """Show how many replicas are in ``state``."""
        self._gauge(families.REPLICAS, state).set(count)

    def cap(self, replica_id: object, size: int) -> None:
        """Show the batch-size cap of one replica; the id must mean the same in all workers."""
        self._gauge(families.BATCH_SIZE_CAP, str(replica_id)).set(size)

    def replica_gone(self, replica_id: object) -> None:
        """Stop showing what belongs to one replica."""
        name, version = self._labels
        self._registry.remove(model=name, version=version, replica=str(replica_id))

    def removed(self) -> None:
        """Show nothing any more, even if batches in flight still report here."""
        self._removed = True
        name, version = self._labels
        self._registry.remove(model=name, version=version)

    def _gauge(self, family: Family, *labels: str) -> Gauge:
        return Gauge() if self._removed else self._registry.gauge(family, *self._labels, *labels)

    def _lookups(self, result: str) -> tuple[Counter, Counter]:
        return (
            self._registry.counter(families.CACHE_LOOKUPS, *self._labels, result),
            self._registry.counter(families.ALL_TASKS, result),
        )


class FrontendMetrics:
    """All metrics of one frontend worker.

    Args:
        clock: monotonic seconds, comparable between the processes of one machine.
        version: Clipper's version, shown by ``clipper_info``.
    """

    def __init__(self, clock: Callable[[], float], version: str) -> None:
        registry = MetricRegistry(clock)
        self._registry = registry
        self._applications: dict[str, ApplicationMetrics] = {}
        self._policies: dict[str, PolicyMetrics] = {}
        self._models: dict[tuple[str, str], ModelMetrics] = {}
        self._links: set[tuple[str, str]] = set()
        self._slos_s: dict[str, float] = {}
        self._responses: dict[int, Counter] = {}
        for result in ("hit", "miss", "coalesced", "bypassed"):
            registry.counter(families.ALL_TASKS, result)
        registry.meter(families.ALL_THROUGHPUT)
        self.cache_bytes = registry.gauge(families.CACHE_BYTES)
        self.cache_entries = registry.gauge(families.CACHE_ENTRIES)
        self.cache_evictions = registry.counter(families.CACHE_EVICTIONS)
        self.choices_dropped = registry.counter(families.CHOICES_DROPPED)
        self.loop_lag = registry.histogram(families.LOOP_LAG)
        self.config_revision = registry.gauge(families.CONFIG_REVISION)
        self.store_up = registry.gauge(families.STORE_UP)
        registry.gauge(families.INFO, version).set(1)

    def application(self, name: str) -> ApplicationMetrics:
        """Return the application's object; the same one until it is removed."""
        if name not in self._applications:
            self._applications[name] = ApplicationMetrics(self._registry, name)
        return self._applications[name]

    def policy(self, app: str) -> PolicyMetrics:
        """Return the object of the application's selection policy."""
        if app not in self._policies:
            self._policies[app] = PolicyMetrics(self._registry, app)
        return self._policies[app]

    def model(self, name: str, version: str) -> ModelMetrics:
        """Return the model version's object; the same one until it is removed."""
        key = (name, version)
        if key not in self._models:
            self._models[key] = ModelMetrics(self._registry, name, version)
        return self._models[key]

    def objectives(self, slos_s: Mapping[str, float]) -> None:
        """Show the latency objectives of all applications there are."""
        for app, slo_s in slos_s.items() - self._slos_s.items():
            self._registry.gauge(families.SLO, app).set(slo_s)
        self._slos_s = dict(slos_s)

    def links(self, links: Collection[tuple[str, str]]) -> None:
        """Show these pairs of application and model, and no others any more."""
        before, self._links = self._links, set(links)
        for app, model in before - self._links:
            self._registry.remove(app=app, model=model)
        for app, model in self._links - before:
            self._registry.gauge(families.LINKS, app, model).set(1)

    def remove_application(self, name: str) -> None:
        """Forget a deleted application."""
        self._applications.pop(name, None)
        self._policies.pop(name, None)
        self._slos_s.pop(name, None)
        self._links = {link for link in self._links if link[0] != name}
        self._registry.remove(app=name)

    def remove_model(self, name: str, version: str) -> None:
        """Forget a deleted model version."""
        model = self._models.pop((name, version), None)
        if model is not None:
            model.removed()

    def http_response(self, code: int) -> None:
        """Count one HTTP response with this status."""
        counter = self._responses.get(code)
        if counter is None:
            counter = self._registry.counter(families.HTTP_RESPONSES, str(code))
            self._responses[code] = counter
        counter.value += 1

    def snapshot(self) -> Snapshot:
        """Return what this worker has measured so far."""
        return self._registry.snapshot()

    def snapshot_parts(self) -> Iterator[Snapshot]:
        """Yield the same part by part (see `MetricRegistry.snapshot_parts`)."""
        return self._registry.snapshot_parts()
