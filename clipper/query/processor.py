"""The query processor: one application's queries from arrival to answer or default."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from clipper.clock import Clock
from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.errors import InvalidRequest, StoreUnavailable
from clipper.query.applications import Application, Applications, choose_serving
from clipper.query.deadlines import DeadlineLines
from clipper.query.executor import TaskExecutor
from clipper.query.fleet import Fleet
from clipper.query.query import PredictRequest, Query
from clipper.selection.policy import Feedback
from clipper.store.base import ConfigSnapshot


class QueryObserver(Protocol):
    """Where the outcomes of queries are counted."""

    def query_finished(self, query: Query, latency_s: float) -> None:
        """A query has its answer or default."""


class StateStore(Protocol):
    """Where selection state lives."""

    async def read_state(self, app: str, uid: str) -> bytes | None:
        """Return the state of one user of one application."""

    async def replace_state(self, app: str, uid: str, before: bytes, after: bytes) -> bool:
        """Store ``after`` if ``before`` is still what is stored; False when it is not."""


_LEARNING_ATTEMPTS = 20
"""How often one feedback is learned anew because others learned at the same moment."""

_EPOCHS = (1 << 21) - 1
"""Epochs after which ids repeat, so that they stay below 2^53."""


@dataclasses.dataclass(slots=True)
class QueryIds:
    """Query ids below 2^53, unique over workers and restarts: epoch · 2^32 + counter."""

    epoch: int
    spare_epoch: int | None = None
    """The next epoch, fetched ahead of time, for when the counter is used up."""
    _counter: int = 0

    @property
    def issued(self) -> int:
        """How many ids this epoch gave out: the number of queries so far."""
        return self._counter

    @property
    def wants_spare(self) -> bool:
        """Whether it is time to fetch the next epoch."""
        return self.spare_epoch is None and self._counter > 1 << 31

    def next(self) -> int:
        """Return the next id.

        Should the counter be used up while no spare epoch could be fetched, this worker's own
        oldest ids come again, four thousand million queries later; never those of another worker.
        """
        if self._counter >= 1 << 32:
            if self.spare_epoch is not None:
                self.epoch, self.spare_epoch = self.spare_epoch, None
            self._counter = 0
        counter = self._counter
        self._counter = counter + 1
        return ((self.epoch & _EPOCHS) << 32) + counter


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
        states: StateStore,
    ) -> None:
        self.applications = applications
        self.ids = ids
        self._states = states
        self._clock = clock
        self._fleet = fleet
        self._executor = executor
        self._observer = observer
        self._deadlines = DeadlineLines(clock)
        self._finish_query = self._finish
        """The bound method, made once and not for every query."""
        self._candidates: dict[str, tuple[VersionedModelId, ...]] = {}
        """What `candidates` found for each application, until routes or links change."""
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

    def submit(
        self,
        application: Application,
        candidates: Sequence[VersionedModelId],
        inputs: Sequence[bytes],
        arrival_s: float,
    ) -> PredictRequest:
        """Start one query for each input; they may be finished on return."""
        request = PredictRequest(application, len(inputs))
        models = application.policy.select(application.state, candidates)
        outcomes = len(models)
        for input_bytes in inputs:
            query = Query(
                self.ids.next(), request, input_bytes, arrival_s, outcomes, self._finish_query
            )
            request.queries.append(query)
            if not outcomes:
                query.unserved()
            for model in models:
                self._executor.submit(query, model)
            if not query.done:
                self._deadlines.add(query, application.slo_s)
        return request

    async def feedback(
        self, application: Application, uid: int, input_bytes: bytes, feedback: Feedback
    ) -> bool:
        """Learn from feedback; False when there is no state for the user (spec §2.7).

        Raises:
            StoreUnavailable: the state can be neither read nor written now.
        """
        user = application.state_key(uid)
        outputs = None
        for _ in range(_LEARNING_ATTEMPTS):
            state = await self._states.read_state(application.name, user)
            if state is None:
                return False
            if outputs is None:
                candidates = self.candidates(application, None)
                outputs = self._executor.cached(application, candidates, input_bytes)
            learned = application.policy.observe(state, feedback, outputs)
            if learned == state:
                return True
            if await self._states.replace_state(application.name, user, state, learned):
                return True
        raise StoreUnavailable(
            f"The state of user {uid} of application '{application.name}' is being changed by "
            "others all the time. Nothing was learned; send the feedback again."
        )

    def _finish(self, query: Query) -> None:
        query.done = True
        application = query.application
        try:
            output = application.policy.combine(application.state, query.outputs).output
        except Exception as error:
            # It concerns this request alone: the task may have more queries to tell.
            query.request.error = error
            output = None
        if output is not None:
            query.output, query.reason = output, None
        elif query.reason is None:
            query.reason = DefaultReason.LOW_CONFIDENCE
        if query.tasks:
            self._executor.release(query)
            # The deadline lines may hold on to the query for some time.
            query.tasks.clear()
            query.input = b""
        self._observer.query_finished(query, self._clock.now() - query.arrival_s)
        query.request.finished()
