"""Feedback: joins a label with the predictions made for its input, and lets the policy learn.

The predictions come from the record of the query that the feedback names, from the cache, or from
the models once more, in this order (NSDI'17 §4.2). Feedback is acknowledged when the store has it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from clipper.clock import Clock
from clipper.datatypes import VersionedModelId
from clipper.errors import InvalidRequest
from clipper.outputs import Output
from clipper.query.applications import Application
from clipper.query.arms import ArmTable
from clipper.query.deadlines import DeadlineLines
from clipper.query.executor import TaskExecutor
from clipper.query.query import Query
from clipper.query.rendering import render_output
from clipper.query.selected import aside_query
from clipper.query.selection_states import SelectionStates
from clipper.selection.ledger import enter, ledger
from clipper.selection.losses import loss
from clipper.selection.policy import Addition, Arm, Asker, Choice, State
from clipper.selection.records import (
    ChoiceRecord,
    FeedbackRecord,
    decode_choice,
    encode_record,
)
from clipper.selection.votes import Vote, read_vote
from clipper.store.selection import (
    APPLICATION,
    Clamp,
    FeedbackWrite,
    Increment,
    StateKey,
    StateUpdate,
)

_AT_ONCE = 100
"""Labels of one request that are worked on together. Predictions of others go in between, and the
next ones are learned from with what these have taught."""

_SHORTEST_RECOMPUTE_S = 1.0
"""Nobody's reply waits for a prediction that only feedback needs."""


_Result = TypeVar("_Result")


class Feedback(msgspec.Struct, frozen=True):
    """One label, and what it is about."""

    label: str
    """Canonical spelling; checked against the application's loss."""
    query_id: int | None = None
    uid: str = APPLICATION
    input: bytes | None = None
    """Packed; None when only a query is named."""
    idempotency_key: str | None = None
    field: str = "query_id"
    """How the body calls the query's number, for errors."""


class ChoiceSource(Protocol):
    """Where choices of all workers are found again."""

    async def find(self, app: str, query_ids: Sequence[int]) -> list[bytes | None]:
        """Return the records of queries, in order; None where there is none (any more)."""


class FeedbackSink(Protocol):
    """Where feedback is stored for good."""

    async def write(self, app: str, generation: int, write: FeedbackWrite) -> bool:
        """Store it; True when it was new. StoreUnavailable when it may not be there."""


class FeedbackObserver(Protocol):
    """Where feedback is counted."""

    def feedback_learned(
        self, application: Application, losses: Mapping[Arm, float], answer_loss: float | None
    ) -> None:
        """One label was stored."""


class FeedbackService:
    """Learns for one worker. Belongs to the event loop's thread."""

    def __init__(
        self,
        clock: Clock,
        executor: TaskExecutor,
        deadlines: DeadlineLines,
        states: SelectionStates,
        arms: Callable[[Application], ArmTable],
        choices: ChoiceSource,
        sink: FeedbackSink,
        observer: FeedbackObserver,
        rng: random.Random,
        unix_time: Callable[[], float],
        unique: Callable[[], str],
    ) -> None:
        """``unique`` returns a key that no feedback ever had, on any worker."""
        self._clock = clock
        self._executor = executor
        self._deadlines = deadlines
        self._states = states
        self._arms = arms
        self._choices = choices
        self._sink = sink
        self._observer = observer
        self._rng = rng
        self._unix_time = unix_time
        self._unique = unique

    async def learn(self, application: Application, feedback: Sequence[Feedback]) -> list[bool]:
        """Store labels and learn from them; False for those that had been stored before.

        Raises:
            InvalidRequest: one names a query that is not known (any more); nothing is stored.
            StoreUnavailable: some may not be stored. Sending all again counts those once that
                have a query id or an idempotency key.
        """
        found = await self._found(application, feedback)
        news: list[bool] = []
        for first in range(0, len(feedback), _AT_ONCE):
            some = feedback[first : first + _AT_ONCE]
            news += await asyncio.gather(
                *(self._learn(application, item, found.get(item.query_id)) for item in some)
            )
        return news

    async def _learn(
        self, application: Application, feedback: Feedback, found: ChoiceRecord | None
    ) -> bool:
        if found is None:
            assert feedback.input is not None
            record = await self._chosen_now(application, feedback.uid, feedback.input)
        elif feedback.input is not None and not found.input:
            record = msgspec.structs.replace(found, input=feedback.input)
        else:
            record = found
        votes = await self._votes(application, record)
        losses = {
            arm: loss(vote, feedback.label, application.loss, application.record.loss_scale)
            for arm, vote in votes.items()
        }
        answer = None if record.answer is None else read_vote(render_output(record.answer))
        answer_loss = None
        if answer is not None:
            answer_loss = loss(
                answer, feedback.label, application.loss, application.record.loss_scale
            )
        uids = [APPLICATION] if record.uid == APPLICATION else [APPLICATION, record.uid]
        additions: dict[str, list[Addition]] = {uid: [] for uid in uids}
        # Whom another policy asked, and how likely it was to, misleads the present one.
        if record.policy == application.policy.name:
            for uid in uids:
                state = await self._state(application, uid)
                additions[uid] += application.policy.observe(
                    state, record.choice, losses, answer_loss, votes, answer
                )
        additions[APPLICATION] += _books(application, record, votes, losses, answer, answer_loss)
        entry = FeedbackRecord(
            record,
            feedback.label,
            self._unix_time(),
            {arm.key: value for arm, value in losses.items()},
            answer_loss,
        )
        write = FeedbackWrite(
            self._key(feedback),
            [self._update(application, uid, additions[uid]) for uid in uids],
            encode_record(entry),
        )
        generation = application.record.generation
        new = await self._sink.write(application.name, generation, write)
        if new:
            for uid in uids:
                self._states.learned(application, uid, additions[uid])
            self._observer.feedback_learned(application, losses, answer_loss)
        return new

    def _key(self, feedback: Feedback) -> str:
        if feedback.idempotency_key is not None:
            return feedback.idempotency_key
        return self._unique() if feedback.query_id is None else f"query {feedback.query_id}"

    async def _found(
        self, application: Application, feedback: Sequence[Feedback]
    ) -> dict[int | None, ChoiceRecord]:
        """Return the choices that the feedback names, by query id."""
        named = [item for item in feedback if item.query_id is not None]
        if not named:
            return {}
        raws = await self._choices.find(
            application.name, [item.query_id for item in named if item.query_id is not None]
        )
        found: dict[int | None, ChoiceRecord] = {}
        for item, raw in zip(named, raws, strict=True):
            if raw is None:
                raise InvalidRequest(
                    f"{item.field}: no query {item.query_id} of application "
                    f"'{application.name}' is known. Choices are forgotten after some time, and "
                    "queries that asked no model have none; send uid, input and label instead."
                )
            try:
                record = decode_choice(raw)
            except msgspec.MsgspecError as error:
                raise InvalidRequest(
                    f"{item.field}: the record of query {item.query_id} cannot be read: "
                    f"{error}. Send uid, input and label instead."
                ) from error
            if record.generation != application.record.generation:
                raise InvalidRequest(
                    f"{item.field}: query {item.query_id} is of an application "
                    f"'{application.name}' that was deleted; another one of this name was "
                    "registered since. Send uid, input and label if the feedback is meant for it."
                )
            found[item.query_id] = record
        return found

    async def _chosen_now(
        self, application: Application, uid: str, input_bytes: bytes
    ) -> ChoiceRecord:
        """Return a choice for a bare input, as it would be made now."""
        table = self._arms(application)
        state = await self._state(application, uid)
        if table.arms:
            asker = Asker(uid, input_bytes)
            choice = application.policy.choose(state, table.arms, asker, self._rng)
        else:
            choice = Choice(())
        votes = await self._known(application, (*choice.ask, *choice.silent), input_bytes)
        asked = [arm for arm in choice.ask if arm in votes]
        combined = application.policy.combine(
            state, choice, {arm: votes[arm] for arm in asked}, self._rng
        )
        return ChoiceRecord(
            query_id=0,
            uid=uid,
            time_s=self._unix_time(),
            input=input_bytes,
            arms=choice.arms,
            propensities=choice.propensities,
            asked=choice.ask,
            outputs={arm.key: vote.output.text for arm, vote in votes.items()},
            late=(),
            answer=None if combined.output is None else combined.output.text,
            confidence=combined.confidence,
            silent=choice.silent,
            generation=application.record.generation,
            policy=application.policy.name,
        )

    async def _votes(self, application: Application, record: ChoiceRecord) -> dict[Arm, Vote]:
        """Return the votes of all whose outputs can be had, late ones and shadows among them."""
        arms = {arm.key: arm for arm in (*record.arms, *record.asked, *record.silent)}
        votes = {
            arms[key]: read_vote(render_output(text))
            for key, text in record.outputs.items()
            if key in arms
        }
        absent = [arm for arm in (*record.asked, *record.silent) if arm not in votes]
        if absent and record.input:
            votes |= await self._known(application, absent, record.input)
        return votes

    async def _known(
        self, application: Application, arms: Sequence[Arm], input_bytes: bytes
    ) -> dict[Arm, Vote]:
        """Return votes from the cache, or else from the models, which have their time for it."""
        model_of = self._arms(application).model_of
        asked = [arm for arm in arms if arm in model_of]
        outputs = await asyncio.gather(
            *(self._ask(application, arm, model_of[arm], input_bytes) for arm in asked)
        )
        return {
            arm: read_vote(output)
            for arm, output in zip(asked, outputs, strict=True)
            if output is not None
        }

    async def _ask(
        self, application: Application, arm: Arm, model: VersionedModelId, input_bytes: bytes
    ) -> Output | None:
        answered: asyncio.Future[Output | None] = asyncio.get_running_loop().create_future()

        def ended(query: Query) -> None:
            query.done = True
            self._executor.release(query)
            _give(answered, query.output)

        now_s = self._clock.now()
        patience_s = max(application.slo_s, _SHORTEST_RECOMPUTE_S)
        aside = aside_query(application, arm, input_bytes, now_s, now_s + patience_s, ended)
        self._executor.submit(aside, model)
        if not aside.done:
            self._deadlines.add(aside, patience_s)
        return await answered

    async def _state(self, application: Application, uid: str) -> State:
        known = self._states.get(application, uid)
        if known is not None:
            return known
        loaded: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._states.load(application, uid, lambda state: _give(loaded, state))
        return await loaded

    def _update(
        self, application: Application, uid: str, additions: Sequence[Addition]
    ) -> StateUpdate:
        floor = application.policy.floor
        seed: State = {}
        if uid != APPLICATION:
            seed = application.policy.seed(self._states.of_application(application))
        return StateUpdate(
            StateKey(application.name, application.record.generation, uid),
            [Increment(a.field, a.amount, a.start) for a in additions],
            None if floor is None else Clamp(floor.kind, floor.depth),
            seed,
        )


def _give(waiting: asyncio.Future[_Result], result: _Result) -> None:
    """Set a result, unless whoever waited for it was cancelled."""
    if not waiting.done():
        waiting.set_result(result)


def _books(
    application: Application,
    record: ChoiceRecord,
    votes: Mapping[Arm, Vote],
    losses: Mapping[Arm, float],
    answer: Vote | None,
    answer_loss: float | None,
) -> Sequence[Addition]:
    """Return what the feedback adds to the book of the policy that answered the query."""
    in_time = [arm for arm in record.asked if arm.key in record.outputs]
    added = ledger(
        record.choice,
        losses,
        answer_loss,
        record.confidence,
        in_time,
        [arm for arm in record.asked if arm.key in record.late],
        application.record.costs,
        supporters=[
            arm for arm in in_time if answer is not None and votes[arm].label == answer.label
        ],
    )
    return enter(record.policy, added)
