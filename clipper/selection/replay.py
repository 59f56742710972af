"""Off-policy evaluation: how another policy would have done on the logged, labelled queries.

The evaluated policy goes through the log in its order and learns on the way. What it would have
done on a query is compared with what is known:

* The outputs it needs are there whatever was chosen: those models were asked with certainty, or the
  log has the losses of all models throughout. Then its loss is known, and it learns from its own
  choice, as if it had served.
* It would ask one model, and one was asked by chance. Then the query counts by the ratio of both
  probabilities, and the policy learns what was observed, with the propensity it was observed with:
  that keeps its own estimates of losses unbiased.

It cannot be evaluated where it would do what the log never did.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from clipper.errors import InvalidRequest
from clipper.outputs import Output
from clipper.selection import estimators
from clipper.selection.estimators import Estimate, Term
from clipper.selection.ledger import DEFAULT_COST
from clipper.selection.losses import LossKind, loss
from clipper.selection.policy import Arm, Asker, Choice, SelectionPolicy
from clipper.selection.records import ChoiceRecord, FeedbackRecord
from clipper.selection.state import apply
from clipper.selection.votes import Vote, read_vote

_SUM_TOLERANCE = 1e-6


class Question(msgspec.Struct, frozen=True):
    """How losses and costs are counted."""

    loss: LossKind = LossKind.ZERO_ONE
    loss_scale: float = 1.0
    costs: Mapping[str, float] = {}
    """Model name → cost of asking it once; 1 where it is not named."""
    seed: int = 0
    """Of the choices of the policy and of the bootstrap."""


class Evaluation(msgspec.Struct, frozen=True):
    """What a policy would have lost per labelled query. Estimates that do not apply are None."""

    queries: int
    """Queries that tell something."""
    skipped: int
    """Others: no output of what would have been needed, or of what was asked."""
    logged: Estimate | None
    """Mean loss of the answers that were really given."""
    direct: Estimate | None
    """From known losses alone: exact but for chance in the policy."""
    ips: Estimate | None
    snips: Estimate | None
    doubly_robust: Estimate | None
    effective_sample_size: float
    """Queries of equal weight that would tell as much."""
    cost_per_query: float
    asked_share: Mapping[str, float]
    """``name:version`` → share of queries on which it would be asked."""

    @property
    def best(self) -> Estimate:
        """The estimate to go by."""
        found = self.direct or self.doubly_robust
        assert found is not None
        return found


class _Lesson(NamedTuple):
    """What the policy learns from one query; as the arguments of `SelectionPolicy.observe`."""

    choice: Choice
    losses: Mapping[Arm, float]
    answer_loss: float | None
    votes: Mapping[Arm, Vote]
    answer: Vote | None


class _Outcome(NamedTuple):
    """What is found out about one query."""

    term: Term
    lesson: _Lesson
    asked: Mapping[Arm, float]
    """Arm → probability that the evaluated policy asks it."""


def replay(
    records: Sequence[FeedbackRecord], policy: SelectionPolicy, question: Question
) -> Evaluation:
    """Evaluate a policy that knows nothing yet on a log, oldest record first.

    All users count as one. The interval takes what the policy has learned for given: it tells how
    chance in the queries and in the logged choices moves the estimate, no more.

    Raises:
        InvalidRequest: there is nothing to evaluate on, or the log never did what it would do.
    """
    # Not for each record by itself: what the cache happens to know depends on what was chosen.
    complete = all(arm.key in one.losses for one in records for arm in one.choice.arms)
    run = _Replay(policy, question, complete)
    for record in records:
        run.take(record)
    return run.evaluation(records)


class _Replay:
    """One pass over a log."""

    def __init__(self, policy: SelectionPolicy, question: Question, complete: bool) -> None:
        self._complete = complete
        self._policy = policy
        self._question = question
        self._rng = random.Random(question.seed)
        self._state: dict[str, float] = {}
        self._seen: dict[str, tuple[float, int]] = {}
        """Arm key → sum and number of its losses so far: the model of the losses. It only knows
        the past, which keeps the doubly robust estimate unbiased."""
        self._terms: list[Term] = []
        self._exact = True
        self._asked: dict[str, float] = {}
        self._cost = 0.0
        self._unsupported: dict[str, int] = {}
        self._joint = 0

    def take(self, record: FeedbackRecord) -> None:
        """Evaluate one query and learn from it."""
        logged = record.choice
        if not logged.arms:
            return
        who = Asker(logged.uid, logged.input)
        choice = self._policy.choose(self._state, logged.arms, who, self._rng)
        if not choice.ask:
            return
        if self._asks_one(choice):
            outcome = self._one_of(choice, record)
        else:
            outcome = self._several(choice, record)
        if outcome is None:
            return
        self._terms.append(outcome.term)
        for arm, share in outcome.asked.items():
            self._asked[str(arm)] = self._asked.get(str(arm), 0.0) + share
            self._cost += share * self._question.costs.get(arm.name, DEFAULT_COST)
        additions = self._policy.observe(self._state, *outcome.lesson)
        self._state = apply(self._state, additions, self._policy.floor)
        for arm in logged.arms:
            if _observed(record, arm):
                total, count = self._seen.get(arm.key, (0.0, 0))
                self._seen[arm.key] = (total + record.losses[arm.key], count + 1)

    def _asks_one(self, choice: Choice) -> bool:
        return (
            not self._policy.combines
            and type(self._policy).advance is SelectionPolicy.advance
            and len(choice.ask) == 1
            and not choice.silent
            and abs(sum(choice.propensities) - 1.0) < _SUM_TOLERANCE
        )

    def _one_of(self, choice: Choice, record: FeedbackRecord) -> _Outcome | None:
        """Evaluate a policy that asks one arm: over all it could ask, not just the one drawn."""
        logged = record.choice
        shares = zip(choice.arms, choice.propensities, strict=True)
        wanted = {arm: share for arm, share in shares if share > 0.0}
        if self._all_known(record, wanted):
            expected = sum(share * record.losses[arm.key] for arm, share in wanted.items())
            term = Term(1.0, expected, expected, expected)
            return _Outcome(term, _lesson(choice, choice.ask, record), wanted)
        for arm in wanted:
            if _propensity(logged, arm) <= 0.0:
                self._no_support(arm)
                return None
        done = [arm for arm in logged.arms if _observed(record, arm)]
        failed = any(_was_asked(logged, arm) and arm.key not in record.losses for arm in wanted)
        if failed or not done:
            return None
        self._exact = False
        weights = {arm: wanted.get(arm, 0.0) / _propensity(logged, arm) for arm in done}
        weight = sum(weights.values())
        model = sum(share * self._expected(arm) for arm, share in wanted.items())
        term = Term(0.0, 0.0, model)
        if weight > 0.0:
            lost = sum(weights[arm] * record.losses[arm.key] for arm in done)
            model_of_done = sum(weights[arm] * self._expected(arm) for arm in done)
            term = Term(weight, lost / weight, model, model_of_done / weight)
        return _Outcome(term, _lesson(_as_logged(logged, done), done, record), wanted)

    def _all_known(self, record: FeedbackRecord, wanted: Collection[Arm]) -> bool:
        """Whether the losses of ``wanted`` would be known whatever had been chosen."""
        return self._complete or all(
            arm.key in record.losses and _propensity(record.choice, arm) >= 1.0 for arm in wanted
        )

    def _several(self, choice: Choice, record: FeedbackRecord) -> _Outcome | None:
        """Evaluate a policy that asks several arms, at once or one after the other."""
        asked, votes, missing = self._ask(choice, record)
        shares = dict.fromkeys((*asked, *choice.silent), 1.0)
        weight = self._weight(record, [*votes, *missing])
        if weight == 0.0:
            done = [arm for arm in record.choice.arms if _observed(record, arm)]
            term = Term(0.0, 0.0, self._expected(asked[0]))
            lesson = _lesson(_as_logged(record.choice, done), done, record)
            return _Outcome(term, lesson, shares) if done else None
        if weight is None or not votes:
            return None
        combined = self._policy.combine(self._state, choice, votes, self._rng)
        if combined.output is None:
            return None
        answer = read_vote(combined.output)
        lost = loss(answer, record.label, self._question.loss, self._question.loss_scale)
        expected = lost if weight == 1.0 else self._expected(asked[0])
        lesson = _lesson(choice, (*asked, *choice.silent), record)
        return _Outcome(
            Term(weight, lost, expected, expected),
            lesson._replace(answer_loss=lost, answer=answer),
            shares,
        )

    def _ask(
        self, choice: Choice, record: FeedbackRecord
    ) -> tuple[list[Arm], dict[Arm, Vote], list[Arm]]:
        """Return the arms asked in the end, the votes of those in the log, and the others."""
        votes: dict[Arm, Vote] = {}
        missing: list[Arm] = []
        asked = list(choice.ask)
        for arm in asked:  # grows on the way
            text = record.choice.outputs.get(arm.key)
            if text is None:
                missing.append(arm)
            else:
                votes[arm] = _vote(text)
            further = self._policy.advance(self._state, choice, votes, missing)
            if further is None:
                break
            asked += [one for one in further if one not in asked]
        return asked, votes, missing

    def _weight(self, record: FeedbackRecord, needed: Collection[Arm]) -> float | None:
        """Return the weight of a query whose answer needs the outputs of ``needed``.

        0: they might have been there but are not. None: it tells nothing.
        """
        if self._complete:
            return 1.0
        by_chance = [arm for arm in needed if _propensity(record.choice, arm) < 1.0]
        if not by_chance:
            return 1.0
        self._exact = False
        if len(needed) > 1:
            self._joint += 1
            return None
        (arm,) = by_chance
        propensity = _propensity(record.choice, arm)
        if propensity <= 0.0:
            self._no_support(arm)
            return None
        if not _was_asked(record.choice, arm):
            return 0.0
        return 1.0 / propensity

    def _no_support(self, arm: Arm) -> None:
        self._unsupported[str(arm)] = self._unsupported.get(str(arm), 0) + 1

    def _expected(self, arm: Arm) -> float:
        """Return the mean of the arm's losses so far; of all arms' while it has none."""
        total, count = self._seen.get(arm.key, (0.0, 0))
        if count:
            return total / count
        known = sum(number for _, number in self._seen.values())
        return sum(one for one, _ in self._seen.values()) / known if known else 0.5

    def evaluation(self, records: Sequence[FeedbackRecord]) -> Evaluation:
        """Return the estimates.

        Raises:
            InvalidRequest: see `replay`.
        """
        self._check_support(len(records))
        seed, used = self._question.seed, len(self._terms)
        given = [Term(1.0, r.answer_loss) for r in records if r.answer_loss is not None]
        exact, terms = self._exact, self._terms
        return Evaluation(
            queries=used,
            skipped=len(records) - used,
            logged=estimators.mean(given, seed) if given else None,
            direct=estimators.mean(terms, seed) if exact else None,
            ips=None if exact else estimators.inverse_propensity(terms, seed),
            snips=None if exact else estimators.self_normalised(terms, seed),
            doubly_robust=None if exact else estimators.doubly_robust(terms, seed),
            effective_sample_size=estimators.effective_sample_size(terms),
            cost_per_query=self._cost / used,
            asked_share={name: total / used for name, total in sorted(self._asked.items())},
        )

    def _check_support(self, logged: int) -> None:
        if self._joint:
            raise InvalidRequest(
                f"On {self._joint} of {logged} logged queries the policy would ask several models, "
                "where the log has one of them by chance. Log with a policy that asks them all, "
                "such as an ensemble or shadow, for a while, and replay again"
            )
        if self._unsupported:
            arm, number = max(self._unsupported.items(), key=lambda pair: pair[1])
            raise InvalidRequest(
                f"On {number} of {logged} logged queries the policy could ask {arm}, which the "
                "logging policy asked with probability 0: the log cannot tell what would have "
                "happened. Log with a policy that tries every model, such as epsilon-greedy, and "
                "replay again"
            )
        if not self._terms:
            raise InvalidRequest(
                f"None of the {logged} logged queries has a label and an output that the policy "
                "could use. Send feedback on answered queries, and replay again"
            )


def _propensity(logged: ChoiceRecord, arm: Arm) -> float:
    return 1.0 if arm in logged.silent else logged.choice.propensity(arm)


def _was_asked(logged: ChoiceRecord, arm: Arm) -> bool:
    return arm in logged.asked or arm in logged.silent


def _observed(record: FeedbackRecord, arm: Arm) -> bool:
    """Whether the arm's loss is there because the arm was asked."""
    return (
        arm.key in record.losses
        and _was_asked(record.choice, arm)
        and _propensity(record.choice, arm) > 0.0
    )


def _vote(text: bytes) -> Vote:
    return read_vote(Output(text, text))


def _as_logged(logged: ChoiceRecord, done: Collection[Arm]) -> Choice:
    return Choice(ask=tuple(done), arms=logged.arms, propensities=logged.propensities)


def _lesson(choice: Choice, asked: Collection[Arm], record: FeedbackRecord) -> _Lesson:
    """Return what is known of ``asked``; if that is one arm, its output is the answer."""
    losses = {arm: record.losses[arm.key] for arm in asked if arm.key in record.losses}
    outputs = record.choice.outputs
    votes = {arm: _vote(outputs[arm.key]) for arm in asked if arm.key in outputs}
    if len(losses) != 1:
        return _Lesson(choice, losses, record.answer_loss, votes, None)
    ((arm, answer_loss),) = losses.items()
    return _Lesson(choice, losses, answer_loss, votes, votes.get(arm))
