"""The task executor: for one query and one model version, cache first, otherwise the queue.

Outcomes come back here from the dispatchers and go to every query that waits (design decision 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clipper.batching.task import PredictTask
from clipper.cache.prediction_cache import CacheKey, PredictionCache
from clipper.clock import Clock
from clipper.datatypes import DefaultReason, Output, VersionedModelId
from clipper.query.applications import Application
from clipper.query.fleet import Fleet, ServedModel
from clipper.query.query import Query
from clipper.query.rendering import render_output


class ExecutorObserver(Protocol):
    """Counts what the cache did for one model version."""

    def cache_hit(self, model: VersionedModelId) -> None:
        """The output was there."""

    def cache_miss(self, model: VersionedModelId) -> None:
        """A replica must compute it."""

    def cache_coalesced(self, model: VersionedModelId) -> None:
        """The same input is being computed; the query waits for that."""

    def cache_bypassed(self, model: VersionedModelId) -> None:
        """The version is registered without a cache; a replica must compute the output."""

    def model_error(self, model: VersionedModelId) -> None:
        """The model failed on one input."""


def cache_key(application: Application, served: ServedModel, input_bytes: bytes) -> CacheKey:
    """Return the key of a version's output for an input that the application sent."""
    isolated = application.name if application.record.isolate_cache else ""
    return CacheKey(served.record.generation, input_bytes, isolated)


class TaskExecutor:
    """Gets outputs for queries."""

    def __init__(
        self,
        clock: Clock,
        cache: PredictionCache[PredictTask],
        fleet: Fleet,
        observer: ExecutorObserver,
        max_queue_length: int,
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._fleet = fleet
        self._observer = observer
        self._max_queue_length = max_queue_length

    def submit(self, query: Query, model: VersionedModelId) -> None:
        """Get ``model``'s output for ``query``; it is told now or later, always."""
        served = self._fleet.get(model)
        if served is None:
            query.missed(DefaultReason.NO_REPLICA, "")
            return
        key = None
        if served.record.cache:
            key = cache_key(query.application, served, query.input)
            output = self._cache.get(key)
            if output is not None:
                self._observer.cache_hit(model)
                query.arrived(model, output)
                return
            leader = self._cache.leader(key)
            if leader is not None:
                self._observer.cache_coalesced(model)
                self._join(query, leader, served)
                return
        self._enqueue(query, served, key)

    def cached(
        self, application: Application, models: Sequence[VersionedModelId], input_bytes: bytes
    ) -> dict[VersionedModelId, Output]:
        """Return the models' outputs for an input, as far as the cache has them."""
        outputs = {}
        for model in models:
            served = self._fleet.get(model)
            if served is None or not served.record.cache:
                continue
            output = self._cache.get(cache_key(application, served, input_bytes))
            if output is not None:
                outputs[model] = output
        return outputs

    def release(self, query: Query) -> None:
        """A query waits no more; tasks that nobody else waits for leave their queue."""
        for task in query.tasks:
            if task.queued and not task.alive:
                served = self._fleet.get(task.model)
                if served is not None:
                    served.queue.discard(task)
                self.failed(task, DefaultReason.SLO, "")

    def completed(self, task: PredictTask, text: bytes) -> None:
        """A replica answered: fill the cache, even if it is too late for those that waited."""
        if task.output is not None:
            return
        output = task.output = render_output(text)
        if isinstance(task.cache_key, CacheKey):
            self._cache.complete(task.cache_key, task, output)
        if task.settled:
            return
        task.settled = True
        self._leave_queue(task)
        for waiter in task.waiters:
            waiter.deliver(task)

    def failed(self, task: PredictTask, reason: DefaultReason, detail: str) -> None:
        """No replica will answer: the next equal query starts afresh."""
        if task.settled:
            return
        task.settled = True
        self._leave_queue(task)
        if isinstance(task.cache_key, CacheKey):
            self._cache.abandon(task.cache_key, task)
        if reason is DefaultReason.MODEL_ERROR:
            self._observer.model_error(task.model)
        for waiter in task.waiters:
            waiter.give_up(task, reason, detail)

    def _leave_queue(self, task: PredictTask) -> None:
        """Take out a task that another replica answered while it was offered again."""
        if task.queued:
            served = self._fleet.get(task.model)
            if served is not None:
                served.queue.discard(task)

    def _join(self, query: Query, leader: PredictTask, served: ServedModel) -> None:
        leader.join(query)
        query.tasks.append(leader)
        if leader.stranded:
            served.lane.rescue()
        if query.deadline_s < leader.deadline_s:
            leader.deadline_s = query.deadline_s
            if leader.queued:
                served.queue.expedite(leader)

    def _enqueue(self, query: Query, served: ServedModel, key: CacheKey | None) -> None:
        if not served.ready:
            query.missed(DefaultReason.NO_REPLICA, "")
            return
        if len(served.queue) >= self._max_queue_length:
            query.missed(DefaultReason.SHED, "")
            return
        if key is None:
            self._observer.cache_bypassed(served.id)
        else:
            self._observer.cache_miss(served.id)
        task = PredictTask(served.id, query.input, key, query)
        query.tasks.append(task)
        if key is not None:
            self._cache.begin(key, task)
        served.offer(task, self._clock.now())
