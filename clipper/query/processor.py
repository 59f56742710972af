"""The query processor: one application's queries from arrival to answer or default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from clipper.clock import Clock
from clipper.datatypes import VersionedModelId
from clipper.errors import InvalidRequest
from clipper.outputs import Output
from clipper.query.applications import Application, Applications, choose_serving
from clipper.query.arms import ArmTable
from clipper.query.deadlines import DeadlineLines
from clipper.query.executor import Place, TaskExecutor
from clipper.query.fleet import Fleet
from clipper.query.ids import QueryIds
from clipper.query.query import PredictRequest, Query
from clipper.query.selector import Selector
from clipper.store.base import ConfigSnapshot


class QueryObserver(Protocol):
    """Where the outcomes of queries are counted."""

    def query_finished(self, query: Query, latency_s: float) -> None:
        """A query has its answer or default."""

    def answered_from_cache(self, application: Application, latency_s: float) -> None:
        """A query was answered from the cache, and no `Query` was made for it."""


class QueryProcessor:
    """Selects models, submits tasks, keeps deadlines, combines outputs."""

    def __init__(
        self,
        clock: Clock,
        applications: Applications,
        fleet: Fleet,
        executor: TaskExecutor,
        observer: QueryObserver,
        ids: QueryIds,
        selector: Selector,
        deadlines: DeadlineLines,
    ) -> None:
        self.applications = applications
        self.ids = ids
        self._selector = selector
        self._clock = clock
        self._fleet = fleet
        self._executor = executor
        self._observer = observer
        self._deadlines = deadlines
        self._finish_query = self._finish
        """The bound method, made once and not for every query."""
        self._candidates: dict[str, tuple[VersionedModelId, ...]] = {}
        """What `candidates` found for each application, until routes or links change."""
        self._arms: dict[str, ArmTable] = {}
        """The same for `arms`."""
        self._places: dict[str, Place | None] = {}
        """The same for the first candidate's place."""
        self._current: dict[str, str] = {}
        self._served: dict[str, str] = {}
        self._routes: dict[str, VersionedModelId] = {}

    @property
    def served_versions(self) -> dict[str, str]:
        """Model name → the last version that really served, to be remembered in the store."""
        return self._served

    def apply(self, snapshot: ConfigSnapshot) -> None:
        """Take the version pointers of a snapshot."""
        self._current = dict(snapshot.current_versions)
        # What this worker switched to itself stands; the store's memory is for a fresh worker.
        served = {**snapshot.serving_versions, **self._served}
        self._served = {
            name: version
            for name, version in served.items()
            if version in self.applications.versions_of(name)
        }
        self.choose_serving()

    def choose_serving(self) -> None:
        """Decide again which version of each model serves, after readiness has changed."""
        routes = {}
        for name, current in self._current.items():
            version = choose_serving(
                current,
                self._served.get(name),
                self.applications.versions_of(name),
                lambda version, name=name: self._fleet.is_ready(  # type: ignore[misc]
                    VersionedModelId(name, version)
                ),
            )
            if version is None:
                continue
            model = routes[name] = VersionedModelId(name, version)
            if self._fleet.is_ready(model):
                self._served[name] = version
        self._routes = routes
        self._candidates.clear()
        self._arms.clear()
        self._places.clear()

    def candidates(
        self, application: Application, version: str | None
    ) -> Sequence[VersionedModelId]:
        """Return the versions that may answer.

        Raises:
            InvalidRequest: the requested version is not registered (texts of spec §2.5).
        """
        links = application.links
        if version is None:
            known = self._candidates.get(application.name)
            if known is None:
                known = tuple(self._routes[name] for name in links if name in self._routes)
                self._candidates[application.name] = known
            return known
        if len(links) > 1:
            raise InvalidRequest(f"Too many models linked to application {application.name}")
        if not links:
            return ()
        if version not in self.applications.versions_of(links[0]):
            raise InvalidRequest(
                f"Requested version: {version} does not exist for model: {links[0]}"
            )
        return (VersionedModelId(links[0], version),)

    def arms(self, application: Application) -> ArmTable:
        """Return the serving versions of an application's linked models as a policy knows them."""
        table = self._arms.get(application.name)
        if table is None:
            table = self._table(self.candidates(application, None))
            self._arms[application.name] = table
        return table

    def _table(self, models: Sequence[VersionedModelId]) -> ArmTable:
        records = [(model, self._fleet.record(model)) for model in models]
        return ArmTable(
            (model, record.generation) for model, record in records if record is not None
        )

    def submit_one(
        self, application: Application, input_bytes: bytes, arrival_s: float
    ) -> PredictRequest | tuple[int, Output]:
        """Do what `submit` does for the one query of a plain application's usual request.

        The short way: most of what `submit` does is for answers that are still to come.

        Returns:
            The request, or the query's id and its output if that was in the cache.
        """
        place = self._places.get(application.name) or self._place(application)
        if place is not None and place.shelf is not None:
            output = place.shelf.get(input_bytes)
            if output is not None:
                place.served.observer.cache_hit()
                self._observer.answered_from_cache(application, self._clock.now() - arrival_s)
                return self.ids.next(), output
        request = PredictRequest(application, 1)
        submit = self._executor.compute_at
        request.queries = (self._start(request, input_bytes, arrival_s, place, submit),)
        return request

    def submit(
        self,
        application: Application,
        candidates: Sequence[VersionedModelId],
        inputs: Sequence[bytes],
        arrival_s: float,
        uid: str = "",
    ) -> PredictRequest:
        """Start one query for each input; they may be finished on return.

        ``uid`` names the user whose selection state counts; empty: the application's own.
        """
        usual = candidates is self._candidates.get(application.name)
        if not application.plain:
            table = self.arms(application) if usual else self._table(candidates)
            return self._selector.submit(application, table, inputs, arrival_s, uid)
        if usual:
            place = self._place(application)
        else:
            place = self._executor.place(application, candidates[0]) if candidates else None
        request = PredictRequest(application, len(inputs))
        submit = self._executor.submit_at
        request.queries = [self._start(request, data, arrival_s, place, submit) for data in inputs]
        return request

    def _start(
        self,
        request: PredictRequest,
        input_bytes: bytes,
        arrival_s: float,
        place: Place | None,
        submit: Callable[[Query, Place], None],
    ) -> Query:
        application = request.application
        deadline_s = arrival_s + application.slo_s
        query = Query(
            self.ids.next(),
            request,
            application,
            input_bytes,
            arrival_s,
            deadline_s,
            self._finish_query,
        )
        if place is None:
            query.unserved()
        else:
            submit(query, place)
        if not query.done:
            self._deadlines.add(query, application.slo_s)
        return query

    def _place(self, application: Application) -> Place | None:
        name = application.name
        try:
            return self._places[name]
        except KeyError:
            candidates = self.candidates(application, None)
            place = self._executor.place(application, candidates[0]) if candidates else None
            self._places[name] = place
            return place

    def _finish(self, query: Query) -> None:
        query.done = True
        if query.tasks:
            self._executor.release(query)
            # The deadline lines may hold on to the query for some time.
            query.input = b""
        self._observer.query_finished(query, self._clock.now() - query.arrival_s)
        query.request.finished()
