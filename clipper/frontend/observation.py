"""Joins the components' observer interfaces to the metrics of one worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clipper.cache.prediction_cache import PredictionCache
from clipper.datatypes import VersionedModelId
from clipper.metrics import ApplicationMetrics, FrontendMetrics, ModelMetrics
from clipper.metrics.policies import PolicyMetrics
from clipper.query.applications import Application, Applications
from clipper.query.fleet import Fleet, ServedModel
from clipper.query.query import Query
from clipper.query.selected import SelectedQuery
from clipper.selection.policy import Arm, Combined

_MODELS_AT_ONCE = 10
"""The gauges of so many models, at two replicas each, take about 0.1 ms."""


class WorkerObserver:
    """Every observer that the worker's components ask for, on one `FrontendMetrics`."""

    def __init__(self, metrics: FrontendMetrics, in_force: Applications) -> None:
        self._metrics = metrics
        self._in_force = in_force
        self._applications: dict[str, ApplicationMetrics] = {}
        self._models: dict[VersionedModelId, ModelMetrics] = {}
        self._capped: dict[VersionedModelId, set[int]] = {}
        self._applications_read = 0

    def model(self, model: VersionedModelId) -> ModelMetrics:
        """Return the observer of one model version."""
        return self._model(model)

    def model_removed(self, model: VersionedModelId) -> None:
        """A version is no longer registered."""
        self._models.pop(model, None)
        self._capped.pop(model, None)
        self._metrics.remove_model(model.name, model.version)

    def application_removed(self, name: str) -> None:
        """An application is no longer registered."""
        self._applications.pop(name, None)
        self._metrics.remove_application(name)

    def query_finished(self, query: Query, latency_s: float) -> None:
        """A query has its answer or default."""
        name = query.application.name
        metrics = self._applications.get(name) or self._application(name)
        if metrics is None:
            return
        if query.reason is None:
            metrics.answered(latency_s)
        else:
            metrics.defaulted(latency_s, query.reason)

    def answered_from_cache(self, application: Application, latency_s: float) -> None:
        """A query was answered from the cache, and no `Query` was made for it."""
        name = application.name
        metrics = self._applications.get(name) or self._application(name)
        if metrics is not None:
            metrics.answered(latency_s)

    def query_selected(self, query: SelectedQuery, combined: Combined) -> None:
        """A policy's query is finished."""
        metrics = self._policy(query.application)
        if metrics is None:
            return
        for arm in query.asked:
            metrics.asked(arm.name)
        for arm in query.late:
            metrics.late(arm.name)
        for arm in combined.supporters:
            metrics.agreed(arm.name)
        if query.confidence is not None:
            metrics.confidence.observe(query.confidence)

    def shadow_answered(self, query: SelectedQuery, arm: Arm, agrees: bool) -> None:
        """A shadow's output is there."""
        metrics = self._policy(query.application)
        if metrics is not None:
            metrics.asked(arm.name)
            if agrees:
                metrics.agreed(arm.name)

    def feedback_learned(
        self, application: Application, losses: Mapping[Arm, float], answer_loss: float | None
    ) -> None:
        """One label was stored."""
        metrics = self._policy(application)
        if metrics is not None:
            metrics.labelled(answer_loss)
            for arm, loss in losses.items():
                metrics.model_labelled(arm.name, loss)

    def _application(self, name: str) -> ApplicationMetrics | None:
        if self._in_force.get(name) is None:
            # Deleted while a query was on its way: it must not come back as a metric.
            return None
        metrics = self._applications[name] = self._metrics.application(name)
        return metrics

    def _policy(self, application: Application) -> PolicyMetrics | None:
        """Return the metrics of an application that was not deleted meanwhile."""
        if self._in_force.get(application.name) is None:
            return None
        return self._metrics.policy(application.name)

    def config_applied(self, revision: int) -> None:
        """A snapshot is in force."""
        self._metrics.config_revision.set(revision)

    def store_up(self, up: bool) -> None:
        """The store answered, or did not."""
        self._metrics.store_up.set(int(up))

    def read_gauges(self, cache: PredictionCache[Any], fleet: Fleet) -> Iterator[None]:
        """Take the values that are read when metrics are collected rather than pushed.

        Yields whenever the event loop should have its turn; models may come and go meanwhile.
        """
        self._metrics.cache_bytes.set(cache.size_bytes)
        self._metrics.cache_entries.set(len(cache))
        self._metrics.cache_evictions.inc(cache.evictions - self._metrics.cache_evictions.value)
        if self._applications_read != self._in_force.times_replaced:
            self._applications_read = self._in_force.times_replaced
            self._read_applications()
        for number, served in enumerate(fleet.models(), start=1):
            # A version that was removed during a pause must not come back as a metric.
            if fleet.get(served.id) is served:
                self._read_model(served)
            if number % _MODELS_AT_ONCE == 0:
                yield

    def _read_applications(self) -> None:
        slos_s: dict[str, float] = {}
        links: list[tuple[str, str]] = []
        for name in self._in_force.names():
            application = self._in_force.get(name)
            if application is not None:
                slos_s[name] = application.slo_s
                links += [(name, model) for model in application.links]
        self._metrics.objectives(slos_s)
        self._metrics.links(links)

    def _read_model(self, served: ServedModel) -> None:
        metrics = self._model(served.id)
        metrics.queue_length(len(served.queue))
        states: dict[str, int] = {"ready": 0, "suspect": 0, "draining": 0}
        live = {replica.replica_id for replica in served.dispatchers}
        for replica_id in self._capped.get(served.id, set()) - live:
            metrics.replica_gone(replica_id)
        self._capped[served.id] = live
        for replica, dispatcher in served.dispatchers.items():
            state = "suspect" if dispatcher.suspect else str(replica.state)
            states[state] = states.get(state, 0) + 1
            metrics.cap(replica.replica_id, dispatcher.policy.cap)
        for state, count in states.items():
            metrics.replicas(state, count)

    def _model(self, model: VersionedModelId) -> ModelMetrics:
        metrics = self._models.get(model)
        if metrics is None:
            metrics = self._models[model] = self._metrics.model(model.name, model.version)
        return metrics
