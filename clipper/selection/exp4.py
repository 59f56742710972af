"""Exp4 (Auer et al. 2002; NSDI'17 §5.2; algorithms §1.12): all models are asked, as experts.

Variant a is the one of the paper's figure 8, b takes probabilities of labels where models give
them, c combines by weighted vote and learns from every expert's loss (Hedge).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from clipper.selection.policy import (
    NOBODY,
    Addition,
    Arm,
    Asker,
    Choice,
    Combined,
    Floor,
    SelectionPolicy,
    State,
)
from clipper.selection.single import ask_all
from clipper.selection.votes import Label, Vote, spell_output
from clipper.selection.voting import count_votes, is_decided
from clipper.selection.weights import (
    WEIGHT,
    change,
    draw,
    read_log_weights,
    seed_log_weights,
    shares,
)


class Exp4Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `Exp4Policy`."""

    variant: Annotated[
        Literal["a", "b", "c"],
        msgspec.Meta(
            description="a: draw a label among the votes; b: draw it from the models' "
            "probabilities; c: take the label with most weight."
        ),
    ] = "a"
    eta: Annotated[
        float, msgspec.Meta(gt=0.0, le=10.0, description="How much one loss counts.")
    ] = 0.2
    gamma: Annotated[
        float,
        msgspec.Meta(
            ge=0.0, le=1.0, description="Share of the vote that is spread evenly over all models."
        ),
    ] = 0.01
    depth: Annotated[
        float,
        msgspec.Meta(
            ge=0.1,
            le=700.0,
            description="How far a log-weight may fall below the largest one: "
            "the smaller, the sooner a model that has failed returns.",
        ),
    ] = 10.0


class Exp4Policy(SelectionPolicy):
    """Asks all models; each has the more to say the less it has lost."""

    name = "exp4"
    Options = Exp4Options
    combines = True

    def __init__(self, options: Exp4Options) -> None:
        self._variant = options.variant
        self._eta = options.eta
        self._gamma = options.gamma
        self._depth = options.depth
        self.floor = Floor(WEIGHT, options.depth)

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Ask all."""
        return ask_all(arms)

    def advance(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], missing: Sequence[Arm]
    ) -> Sequence[Arm] | None:
        """End the wait once the label with most weight cannot lose any more (variant c)."""
        if self._variant != "c":
            return ()
        weights = self._shares(state, choice.arms)
        return None if is_decided(choice.arms, weights, votes, missing) else ()

    def combine(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], rng: random.Random
    ) -> Combined:
        """Draw or elect a label. The confidence is its share of all weight, missing ones' too."""
        arms = choice.arms
        weights = self._shares(state, arms)
        if self._variant == "b":
            return self._draw_from_probabilities(arms, weights, votes, rng)
        candidates = count_votes(arms, weights, votes)
        if not candidates:
            return Combined(None)
        chosen = candidates[0]
        if self._variant == "a":
            heard = sum(candidate.weight for candidate in candidates)
            odds = [candidate.weight / heard for candidate in candidates]
            chosen = candidates[draw(odds, rng)]
        return Combined(votes[chosen.voters[0]].output, min(1.0, chosen.weight), chosen.voters)

    def _draw_from_probabilities(
        self,
        arms: Sequence[Arm],
        weights: Sequence[float],
        votes: Mapping[Arm, Vote],
        rng: random.Random,
    ) -> Combined:
        support: dict[Label, float] = {}
        for arm, weight in zip(arms, weights, strict=True):
            if arm in votes:
                for label, probability in _opinion(votes[arm]).items():
                    support[label] = support.get(label, 0.0) + weight * probability
        heard = sum(support.values())
        if heard <= 0.0:
            return Combined(None)
        labels = list(support)
        label = labels[draw([support[name] / heard for name in labels], rng)]
        voters = next(
            (found.voters for found in count_votes(arms, weights, votes) if found.label == label),
            (),
        )
        output = votes[voters[0]].output if voters else spell_output(label)
        return Combined(output, min(1.0, support[label]), voters)

    def seed(self, state: State) -> State:
        """Start with the application's best model as heavy as all others, or one loss ahead.

        A first answer is then the application's, and a user for whom another model is better has
        the lead gone after the best one's first losses.
        """
        models = sum(field.startswith(f"{WEIGHT}/") for field in state)
        return seed_log_weights(state, max(self._eta, math.log(max(1, models))))

    def observe(
        self,
        state: State,
        choice: Choice,
        losses: Mapping[Arm, float],
        answer_loss: float | None,
        votes: Mapping[Arm, Vote] = NOBODY,
        answer: Vote | None = None,
    ) -> Sequence[Addition]:
        """Take from each model's weight.

        In variants a and b the loss of the drawn label, divided by the probability of drawing it,
        to the degree that the model is for it. In c, and where it is not known who said what, each
        model's own loss, which is the same on average. Models that were not heard fare like the
        average of the others, so being late is no advantage.
        """
        arms = choice.arms
        if not arms:
            return ()
        log_weights = read_log_weights(state, arms)
        weights = shares(log_weights, self._gamma)
        blame = losses
        if self._variant != "c" and votes and answer is not None and answer_loss is not None:
            blame = self._blame(arms, weights, votes, answer.label, answer_loss) or losses
        heard = [(blame[arm], w) for arm, w in zip(arms, weights, strict=True) if arm in blame]
        if not heard:
            return ()
        average = sum(loss * w for loss, w in heard) / sum(w for _, w in heard)
        changes = [-min(self._eta * blame.get(arm, average), self._depth) for arm in arms]
        return change(state, arms, log_weights, changes)

    def _blame(
        self,
        arms: Sequence[Arm],
        weights: Sequence[float],
        votes: Mapping[Arm, Vote],
        label: Label,
        loss: float,
    ) -> dict[Arm, float]:
        """Return each voter's share in the loss of a drawn label; nothing if nobody is for it."""
        voters = [(arm, w) for arm, w in zip(arms, weights, strict=True) if arm in votes]
        backing = {arm: self._backing(votes[arm], label) for arm, _ in voters}
        support = sum(backing[arm] * weight for arm, weight in voters)
        heard = sum(weight for _, weight in voters)
        if support <= 0.0:
            return {}
        return {arm: loss * share * heard / support for arm, share in backing.items()}

    def _backing(self, vote: Vote, label: Label) -> float:
        if self._variant == "b":
            return _opinion(vote).get(label, 0.0)
        return 1.0 if vote.label == label else 0.0

    def _shares(self, state: State, arms: Sequence[Arm]) -> list[float]:
        return shares(read_log_weights(state, arms), self._gamma) if arms else []


def _opinion(vote: Vote) -> Mapping[Label, float]:
    """Return a model's probabilities of labels: its own ones, or all on the one it names."""
    given = vote.probabilities
    total = sum(given.values()) if given else 0.0
    if not given or total <= 0.0:
        return {vote.label: 1.0}
    return {label: probability / total for label, probability in given.items()}
