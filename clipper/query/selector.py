"""Queries of applications whose selection policy chooses, combines and learns.

The processor hands such queries on to here. What the policy decides is pure; this file asks the
models, keeps the deadline, and records what was chosen off the reply path.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from clipper.clock import Clock
from clipper.datatypes import DefaultReason, VersionedModelId
from clipper.errors import InvalidRequest
from clipper.query.applications import Application
from clipper.query.arms import ArmTable
from clipper.query.deadlines import DeadlineLines
from clipper.query.executor import TaskExecutor
from clipper.query.ids import QueryIds
from clipper.query.query import PredictRequest, Query
from clipper.query.selected import AsideQuery, SelectedQuery, aside_query
from clipper.query.selection_states import SelectionStates
from clipper.selection.policy import Arm, Asker, Combined, State
from clipper.selection.records import ChoiceRecord, encode_record

LARGEST_KEPT_INPUT_BYTES = 16 << 10
"""Larger inputs are not kept with the record of the choice: feedback has to bring them again."""


class ChoiceSink(Protocol):
    """Where choices are written."""

    def add(self, app: str, query_id: int, record: bytes) -> None:
        """Keep a record; returns at once. A second one for the same query replaces the first."""


class SelectionObserver(Protocol):
    """Where the outcomes of queries are counted."""

    def query_finished(self, query: Query, latency_s: float) -> None:
        """A query has its answer or default."""

    def query_selected(self, query: SelectedQuery, combined: Combined) -> None:
        """A policy's query is finished: whom it asked, who was late, what came of it."""

    def shadow_answered(self, query: SelectedQuery, arm: Arm, agrees: bool) -> None:
        """A shadow's output is there."""


class Selector:
    """Runs the queries of applications that are not plain. Belongs to the event loop's thread."""

    def __init__(
        self,
        clock: Clock,
        executor: TaskExecutor,
        deadlines: DeadlineLines,
        states: SelectionStates,
        choices: ChoiceSink,
        observer: SelectionObserver,
        ids: QueryIds,
        rng: random.Random,
        unix_time: Callable[[], float],
    ) -> None:
        self._unix_time = unix_time
        self._clock = clock
        self._executor = executor
        self._deadlines = deadlines
        self._states = states
        self._choices = choices
        self._observer = observer
        self._ids = ids
        self._rng = rng

    def submit(
        self,
        application: Application,
        table: ArmTable,
        inputs: Sequence[bytes],
        arrival_s: float,
        uid: str,
    ) -> PredictRequest:
        """Start one query for each input; they may be finished on return.

        A user whose state is not here yet waits for it, a part of the objective at most.
        """
        request = PredictRequest(application, len(inputs))
        deadline_s = arrival_s + application.slo_s
        state = self._states.get(application, uid) if application.policy.learns else {}
        queries = [
            SelectedQuery(
                self._ids.next(),
                request,
                application,
                data,
                arrival_s,
                deadline_s,
                self.finish,
                uid=uid,
                arms=table,
                listener=self,
            )
            for data in inputs
        ]
        request.queries = queries  # all of them, before the first can be finished
        for query in queries:
            if not table.arms:
                query.unserved()
            elif state is not None:
                self._begin(query, state)
            if not query.done:
                self._deadlines.add(query, application.slo_s)
        if state is None and table.arms:
            self._states.load(application, uid, lambda state: self._begin_all(queries, state))
        return request

    def heard(self, query: SelectedQuery) -> None:
        """See `selected.Listener`."""
        try:
            further = query.application.policy.advance(
                query.state, query.choice, query.votes, query.missing
            )
            ended = further is None and (query.heard_all or self._is_sure(query))
            models = self._models(query, further or ())
        except Exception as error:
            # It concerns this request alone: the task may have more queries to tell.
            query.request.error = error
            ended, models = True, {}
        if ended:
            self.finish(query)
        else:
            self._ask(query, models)

    def finish(self, query: Query) -> None:
        """See `selected.Listener`."""
        assert isinstance(query, SelectedQuery)
        query.done = True
        combined = self._combine(query)
        input_bytes = query.input
        self._release(query)
        self._observer.query_finished(query, self._clock.now() - query.arrival_s)
        query.request.finished()
        self._observer.query_selected(query, combined)
        if query.asked:
            self._record(query, combined, input_bytes)
            self._ask_shadows(query, combined, input_bytes)

    def _is_sure(self, query: SelectedQuery) -> bool:
        """Whether a decided answer can be returned, or needs the votes that are still to come."""
        least = query.application.min_confidence
        if not least:
            return True
        confidence = query.application.policy.combine(
            query.state, query.choice, query.votes, self._rng
        ).confidence
        return confidence is None or query.application.calibrated(confidence) >= least

    def _begin_all(self, queries: Sequence[SelectedQuery], state: State) -> None:
        for query in queries:
            if query.done:
                continue
            try:
                self._begin(query, state)
            except InvalidRequest as error:
                # Too late to refuse the request; others wait for the same state.
                query.request.error = error
                self.finish(query)

    def _begin(self, query: SelectedQuery, state: State) -> None:
        query.state = state
        policy = query.application.policy
        asker = Asker(query.uid, query.input)
        try:
            query.choice = policy.choose(state, query.arms.arms, asker, self._rng)
            models = self._models(query, query.choice.ask)
        except InvalidRequest:
            raise  # the caller's fault, or the operator's: the text says so
        except Exception as error:
            query.request.error = error
            self.finish(query)
            return
        self._ask(query, models)

    @staticmethod
    def _models(query: SelectedQuery, arms: Sequence[Arm]) -> dict[Arm, VersionedModelId]:
        """Return those of the arms that were not asked yet; KeyError for one that cannot be."""
        return {arm: query.arms.model_of[arm] for arm in arms if arm not in query.asked}

    def _ask(self, query: SelectedQuery, models: Mapping[Arm, VersionedModelId]) -> None:
        query.asked += models
        for model in models.values():
            if query.done:
                return
            self._executor.submit(query, model)
        if not query.done and query.heard_all:
            self.finish(query)

    def _combine(self, query: SelectedQuery) -> Combined:
        application = query.application
        heard = {*query.votes, *query.missing}
        query.late = tuple(arm for arm in query.asked if arm not in heard)
        combined = self._combined(query)
        confidence = combined.confidence
        if confidence is not None:
            confidence = application.calibrated(confidence)
        query.output = combined.output
        if query.output is not None:
            query.reason = None
            if confidence is not None and confidence < application.min_confidence:
                query.output, query.reason = None, DefaultReason.LOW_CONFIDENCE
                query.detail = f"{confidence:.3f} of {application.min_confidence}"
        elif query.reason is None:
            query.reason = DefaultReason.LOW_CONFIDENCE if query.asked else DefaultReason.NO_REPLICA
        query.describe(confidence, list(query.votes) if application.policy.combines else None)
        return combined

    def _combined(self, query: SelectedQuery) -> Combined:
        if query.request.error is not None or not query.asked:
            return Combined(None)
        policy = query.application.policy
        try:
            return policy.combine(query.state, query.choice, query.votes, self._rng)
        except Exception as error:
            # It concerns this request alone: the task may have more queries to tell.
            query.request.error = error
            return Combined(None)

    def _release(self, query: Query) -> None:
        self._executor.release(query)
        # The deadline lines may hold on to the query for some time.
        query.input = b""

    def _record(self, query: SelectedQuery, combined: Combined, input_bytes: bytes) -> None:
        answer = combined.output
        record = ChoiceRecord(
            query_id=query.query_id,
            uid=query.uid,
            time_s=self._unix_time(),
            input=input_bytes if len(input_bytes) <= LARGEST_KEPT_INPUT_BYTES else b"",
            arms=query.choice.arms,
            propensities=query.choice.propensities,
            asked=tuple(query.asked),
            outputs=query.outputs_by_key(),
            late=tuple(arm.key for arm in query.late),
            answer=None if answer is None else answer.text,
            confidence=combined.confidence,
            silent=query.choice.silent,
            generation=query.application.record.generation,
            policy=query.application.policy.name,
        )
        self._choices.add(query.application.name, query.query_id, encode_record(record))

    def _ask_shadows(self, query: SelectedQuery, combined: Combined, input_bytes: bytes) -> None:
        """Ask those whose answers nobody gets, once the reply has left."""
        now_s = self._clock.now()
        slo_s = query.application.slo_s

        def ended(aside: Query) -> None:
            assert isinstance(aside, AsideQuery)
            aside.done = True
            self._release(aside)
            if aside.output is not None:
                query.silent[aside.arm] = aside.output
                agrees = combined.output == aside.output
                self._observer.shadow_answered(query, aside.arm, agrees)
                self._record(query, combined, input_bytes)

        for arm in query.choice.silent:
            aside = aside_query(query.application, arm, input_bytes, now_s, now_s + slo_s, ended)
            self._executor.submit(aside, query.arms.model_of[arm])
            if not aside.done:
                self._deadlines.add(aside, slo_s)
