"""The task executor: for one query and one model version, cache first, otherwise the queue.

Outcomes come back here from the dispatchers and go to every query that waits (design decision 8).
"""

from __future__ import annotations

from typing import NamedTuple

from clipper.batching.task import PredictTask
from clipper.cache.prediction_cache import CacheShelf, PredictionCache
from clipper.clock import Clock
from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.query.applications import Application
from clipper.query.fleet import Fleet, ServedModel
from clipper.query.query import Query
from clipper.query.rendering import render_output


class Place(NamedTuple):
    """Where an application gets the outputs of one model version."""

    served: ServedModel
    shelf: CacheShelf[PredictTask] | None
    """None: the version has no cache."""


class TaskExecutor:
    """Gets outputs for queries."""

    def __init__(
        self,
        clock: Clock,
        cache: PredictionCache[PredictTask],
        fleet: Fleet,
        max_queue_length: int,
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._fleet = fleet
        self._max_queue_length = max_queue_length

    def place(self, application: Application, model: VersionedModelId) -> Place | None:
        """Return where queries go, until the next snapshot; None: ``model`` is not registered."""
        served = self._fleet.get(model)
        return None if served is None else Place(served, self._shelf(application, served))

    def submit(self, query: Query, model: VersionedModelId) -> None:
        """Get ``model``'s output for ``query``; it is told now or later, always."""
        place = self.place(query.application, model)
        if place is None:
            query.missed(model, DefaultReason.NO_REPLICA, "")
        else:
            self.submit_at(query, place)

    def submit_at(self, query: Query, place: Place) -> None:
        """Do the same where the model's place is known."""
        served, shelf = place
        if shelf is not None:
            output = shelf.get(query.input)
            if output is not None:
                served.observer.cache_hit()
                query.arrived(served.id, output)
                return
        self.compute_at(query, place)

    def compute_at(self, query: Query, place: Place) -> None:
        """Do the same where the output is known not to be in the cache."""
        served, shelf = place
        if shelf is not None:
            leader = shelf.leader(query.input)
            if leader is not None:
                served.observer.cache_coalesced()
                self._join(query, leader, served)
                return
        queue = served.queue
        if not served.ready:
            query.missed(served.id, DefaultReason.NO_REPLICA, "")
            return
        if len(queue) >= self._max_queue_length:
            served.observer.missed(1)
            query.missed(served.id, DefaultReason.SHED, "")
            return
        task = PredictTask(served.id, query.input, shelf, [query], query.deadline_s)
        query.tasks += (task,)
        if shelf is None:
            served.observer.cache_bypassed()
        else:
            served.observer.cache_miss()
            shelf.begin(query.input, task)
        queue.put(task, self._clock.now())
        served.lane.wake()

    def release(self, query: Query) -> None:
        """A query waits no more; tasks that nobody else waits for leave their queue."""
        for task in query.tasks:
            if task.queued and not task.alive:
                served = self._fleet.get(task.model)
                if served is not None:
                    served.queue.discard(task)
                self.failed(task, DefaultReason.SLO, "")
        query.tasks = ()

    def completed(self, task: PredictTask, text: bytes) -> None:
        """A replica answered: fill the cache, even if it is too late for those that waited."""
        if task.output is not None:
            return
        output = task.output = render_output(text)
        if isinstance(task.shelf, CacheShelf):
            task.shelf.complete(task.input, task, output)
        if task.settled:
            return
        task.settled = True
        if task.queued:
            self._leave_queue(task)
        for waiter in task.waiters:
            waiter.arrived(task.model, output)

    def failed(self, task: PredictTask, reason: DefaultReason, detail: str) -> None:
        """No replica will answer: the next equal query starts afresh."""
        if task.settled:
            return
        task.settled = True
        if task.queued:
            self._leave_queue(task)
        if isinstance(task.shelf, CacheShelf):
            task.shelf.abandon(task.input, task)
        if reason in (DefaultReason.MODEL_ERROR, DefaultReason.SLO):
            served = self._fleet.get(task.model)
            if served is not None and reason is DefaultReason.SLO:
                served.observer.missed(1)
            elif served is not None:
                served.observer.model_error()
        for waiter in task.waiters:
            waiter.missed(task.model, reason, detail)

    def _leave_queue(self, task: PredictTask) -> None:
        """Take out a task that another replica answered while it was offered again."""
        served = self._fleet.get(task.model)
        if served is not None:
            served.queue.discard(task)

    def _shelf(
        self, application: Application, served: ServedModel
    ) -> CacheShelf[PredictTask] | None:
        """Return where outputs for the application are kept; None: the version has no cache."""
        record = served.record
        if not record.cache:
            return None
        isolated = application.name if application.record.isolate_cache else ""
        return self._cache.shelf(record.generation, isolated)

    def _join(self, query: Query, leader: PredictTask, served: ServedModel) -> None:
        leader.join(query)
        query.tasks += (leader,)
        if leader.stranded:
            served.lane.rescue()
        if query.deadline_s < leader.deadline_s:
            leader.deadline_s = query.deadline_s
            if leader.queued:
                served.queue.expedite(leader)
