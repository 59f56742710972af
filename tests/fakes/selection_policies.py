"""Selection policies as simple as can be, and logs whose truth is known."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from clipper.outputs import Output
from clipper.selection.policy import (
    NOBODY,
    Addition,
    Arm,
    Asker,
    Choice,
    Combined,
    NoOptions,
    SelectionPolicy,
    State,
)
from clipper.selection.records import ChoiceRecord, FeedbackRecord
from clipper.selection.votes import Vote, read_vote

ARMS = (Arm("1", "a"), Arm("2", "b"), Arm("3", "c"))


class FixedPolicy(SelectionPolicy):
    """Asks each arm with a probability that never changes."""

    name = "fixed"

    def __init__(self, probabilities: Sequence[float]) -> None:
        super().__init__(NoOptions())
        self._probabilities = tuple(probabilities)

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        return draw(arms, self._probabilities, rng)

    def combine(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], rng: random.Random
    ) -> Combined:
        return Combined(votes[choice.ask[0]].output if choice.ask[0] in votes else None)


class GreedyPolicy(FixedPolicy):
    """Asks the arm of the least mean loss, and every third time any; counts what it learns."""

    name = "greedy"

    def __init__(self) -> None:
        super().__init__(())
        self.learned: list[tuple[Choice, dict[Arm, float]]] = []

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        means = [
            state.get(f"loss/{arm.key}", 0.0) / max(1.0, state.get(f"n/{arm.key}", 0.0))
            for arm in arms
        ]
        shares = [1 / 3 / len(arms)] * len(arms)
        shares[means.index(min(means))] += 2 / 3
        return draw(arms, shares, rng)

    def observe(
        self,
        state: State,
        choice: Choice,
        losses: Mapping[Arm, float],
        answer_loss: float | None,
        votes: Mapping[Arm, Vote] = NOBODY,
        answer: Vote | None = None,
    ) -> Sequence[Addition]:
        self.learned.append((choice, dict(losses)))
        return [
            addition
            for arm, lost in losses.items()
            for addition in (Addition(f"n/{arm.key}", 1.0), Addition(f"loss/{arm.key}", lost))
        ]


class MajorityPolicy(SelectionPolicy):
    """Asks all; answers what most say."""

    name = "majority"
    combines = True

    def __init__(self) -> None:
        super().__init__(NoOptions())

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        return Choice(tuple(arms), arms=tuple(arms), propensities=(1.0,) * len(arms))

    def combine(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], rng: random.Random
    ) -> Combined:
        labels = [vote.label for vote in votes.values()]
        if not labels:
            return Combined(None)
        winner = max(labels, key=labels.count)
        return Combined(next(vote.output for vote in votes.values() if vote.label == winner))


class AskFirstPolicy(MajorityPolicy):
    """A cascade: asks the first arm; the second one, too, when the first is not sure."""

    name = "ask-first"

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        return Choice((arms[0],), arms=tuple(arms), propensities=(1.0,) + (0.0,) * (len(arms) - 1))

    def advance(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], missing: Sequence[Arm]
    ) -> Sequence[Arm] | None:
        first = votes.get(choice.ask[0])
        sure = first is not None and (first.confidence or 0.0) >= 0.8
        return None if sure else choice.arms[1:2]

    def combine(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], rng: random.Random
    ) -> Combined:
        return Combined(list(votes.values())[-1].output if votes else None)


def draw(arms: Sequence[Arm], probabilities: Sequence[float], rng: random.Random) -> Choice:
    """Choose one arm at random."""
    (chosen,) = rng.choices(arms, probabilities)
    return Choice((chosen,), arms=tuple(arms), propensities=tuple(probabilities))


def record_of(
    at: int,
    choice: Choice,
    outputs: Mapping[Arm, str],
    label: str,
    answer: str | None,
    *,
    propensities: Sequence[float] | None = None,
    confidence: float | None = None,
    policy: str = "ensemble",
) -> FeedbackRecord:
    """Return the record of a query whose asked arms gave ``outputs``; losses are zero-one."""

    losses = {
        arm.key: float(read_vote(Output(text.encode(), text.encode())).label != label)
        for arm, text in outputs.items()
    }
    answer_loss = (
        None
        if answer is None
        else float(read_vote(Output(answer.encode(), answer.encode())).label != label)
    )
    return FeedbackRecord(
        ChoiceRecord(
            query_id=at,
            uid="",
            time_s=float(at),
            input=b"",
            arms=choice.arms,
            propensities=tuple(choice.propensities if propensities is None else propensities),
            asked=choice.ask,
            silent=choice.silent,
            outputs={arm.key: text.encode() for arm, text in outputs.items()},
            late=(),
            answer=None if answer is None else answer.encode(),
            confidence=confidence,
            policy=policy,
        ),
        label=label,
        time_s=float(at) + 1.0,
        losses=losses,
        answer_loss=answer_loss,
    )


def one_at_a_time(
    errors: Sequence[float],
    logging: Sequence[float],
    queries: int,
    seed: int,
    claimed: Sequence[float] | None = None,
    error_at: Callable[[int], Sequence[float]] | None = None,
) -> list[FeedbackRecord]:
    """Return a log of a policy that asks one arm, the arms erring with known probabilities.

    Args:
        claimed: propensities in the log, where they are not those of ``logging``.
        error_at: query → errors, where they change.
    """
    rng = random.Random(seed)
    records = []
    for at in range(queries):
        choice = draw(ARMS[: len(errors)], logging, rng)
        (asked,) = choice.ask
        error = (errors if error_at is None else error_at(at))[ARMS.index(asked)]
        said = "0" if rng.random() < error else "1"
        records.append(record_of(at, choice, {asked: said}, "1", said, propensities=claimed))
    return records


def all_at_once(errors: Sequence[float], queries: int, seed: int) -> list[FeedbackRecord]:
    """Return a log of an ensemble that asks all arms and answers what most say."""
    rng = random.Random(seed)
    arms = ARMS[: len(errors)]
    choice = Choice(arms, arms=arms, propensities=(1.0,) * len(arms))
    records = []
    for at in range(queries):
        outputs = {
            arm: "0" if rng.random() < error else "1"
            for arm, error in zip(arms, errors, strict=True)
        }
        said = max(outputs.values(), key=list(outputs.values()).count)
        records.append(record_of(at, choice, outputs, "1", said))
    return records
