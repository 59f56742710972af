"""All models together: a vote on labels, or a mean or median of numbers (NSDI'17 §5.2)."""

from __future__ import annotations

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
    SelectionPolicy,
    State,
)
from clipper.selection.running_means import (
    count_numbers,
    read_running_mean,
    seed_running_means,
)
from clipper.selection.single import ask_all
from clipper.selection.tallies import count_losses, read_tallies, seed_tallies
from clipper.selection.votes import Vote, canonical_label, spell_output
from clipper.selection.voting import count_votes, is_decided

Weight = Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]

_LEAST_LOSS = 0.01
"""No mean loss counts as smaller: a model that was lucky at first must not decide alone."""


class EnsembleOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `EnsemblePolicy`."""

    combine: Annotated[
        Literal["majority", "weighted", "mean", "median"],
        msgspec.Meta(
            description="majority, weighted: the label with most votes; mean, median: of numbers."
        ),
    ] = "majority"
    weights: Annotated[
        dict[str, Weight] | None,
        msgspec.Meta(
            description="For weighted and mean: model name → weight, 1 for models not named; "
            "null: weights are learned from feedback."
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.weights is not None and self.combine in ("majority", "median"):
            raise ValueError(
                f"weights: '{self.combine}' counts all models alike and takes no weights"
            )


class EnsemblePolicy(SelectionPolicy):
    """Asks all models and combines what has arrived. Sure when they agree."""

    name = "ensemble"
    Options = EnsembleOptions
    combines = True

    def __init__(self, options: EnsembleOptions) -> None:
        self._combine = options.combine
        self._fixed = options.weights
        self._numeric = options.combine in ("mean", "median")
        self._learns_weights = options.weights is None and options.combine in ("weighted", "mean")
        self.learns = self._learns_weights or self._numeric

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Ask all."""
        return ask_all(arms)

    def advance(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], missing: Sequence[Arm]
    ) -> Sequence[Arm] | None:
        """End the wait once no vote that is still to come can change the label."""
        if self._numeric:
            return ()
        weights = self._weights(state, choice.arms)
        return None if is_decided(choice.arms, weights, votes, missing) else ()

    def combine(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], rng: random.Random
    ) -> Combined:
        """Combine the votes that are there.

        The confidence is the share of all weight that is for the label, or that was heard at all
        where numbers are combined: models that are missing lower it.
        """
        weights = self._weights(state, choice.arms)
        if self._numeric:
            return self._combine_numbers(state, choice.arms, weights, votes)
        candidates = count_votes(choice.arms, weights, votes)
        if not candidates:
            return Combined(None)
        winner = candidates[0]
        total = sum(weights)
        confidence = min(1.0, winner.weight / total) if total > 0.0 else 0.0
        return Combined(votes[winner.voters[0]].output, confidence, winner.voters)

    def _combine_numbers(
        self,
        state: State,
        arms: Sequence[Arm],
        weights: Sequence[float],
        votes: Mapping[Arm, Vote],
    ) -> Combined:
        """Combine numbers; a model that is missing says what it says on average."""
        members: list[tuple[float, float]] = []
        heard: list[tuple[Arm, float]] = []
        for arm, weight in zip(arms, weights, strict=True):
            number = votes[arm].number if arm in votes else None
            if number is not None:
                heard.append((arm, weight))
            else:
                number = read_running_mean(state, arm)
            if number is not None and weight > 0.0:
                members.append((number, weight))
        if not heard or not members:
            return Combined(None)
        result = _median(members) if self._combine == "median" else _mean(members)
        return Combined(
            spell_output(canonical_label(result)),
            min(1.0, sum(weight for _, weight in heard) / sum(weights)),
            tuple(arm for arm, _ in heard),
        )

    def _weights(self, state: State, arms: Sequence[Arm]) -> list[float]:
        if self._fixed is not None:
            return [self._fixed.get(arm.name, 1.0) for arm in arms]
        if not self._learns_weights:
            return [1.0] * len(arms)
        losses = [max(_LEAST_LOSS, tally.mean) for tally in read_tallies(state, arms)]
        if self._numeric:
            return [1.0 / loss for loss in losses]
        # Log-odds suit models that err independently of each other. Real ones find the same inputs
        # hard, and with log-odds four poor models that err together overrule a good one.
        weights = [1.0 / loss if loss < 0.5 else 0.0 for loss in losses]
        return weights if any(weights) else [1.0] * len(arms)

    def seed(self, state: State) -> State:
        """Start from a few observations of each model."""
        return {**seed_tallies(state), **seed_running_means(state)}

    def observe(
        self,
        state: State,
        choice: Choice,
        losses: Mapping[Arm, float],
        answer_loss: float | None,
        votes: Mapping[Arm, Vote] = NOBODY,
        answer: Vote | None = None,
    ) -> Sequence[Addition]:
        """Count the losses, where weights are learned, and the numbers that models said."""
        additions = count_losses(state, choice.arms, losses) if self._learns_weights else []
        if self._numeric:
            additions += count_numbers(votes)
        return additions


def _mean(members: Sequence[tuple[float, float]]) -> float:
    total = sum(weight for _, weight in members)
    return sum(number * (weight / total) for number, weight in members)


def _median(members: Sequence[tuple[float, float]]) -> float:
    numbers = sorted(number for number, _ in members)
    middle = len(numbers) // 2
    if len(numbers) % 2:
        return numbers[middle]
    return numbers[middle - 1] / 2.0 + numbers[middle] / 2.0
