"""Policies at work without a server: who says what is given, feedback comes at once."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from clipper.outputs import Output
from clipper.selection.catalog import make_policy
from clipper.selection.policy import Addition, Arm, Asker, Choice, SelectionPolicy, State
from clipper.selection.state import apply
from clipper.selection.votes import Vote, read_vote

NOBODY_SPECIAL = Asker("", b"input")

EVERY_POLICY: tuple[tuple[str, dict[str, object]], ...] = (
    ("DefaultOutputSelectionPolicy", {}),
    ("static", {}),
    ("epsilon-greedy", {}),
    ("ucb1", {}),
    ("thompson", {}),
    ("exp3", {}),
    ("exp3", {"gamma": 0.0, "depth": 700.0}),
    ("exp4", {}),
    ("exp4", {"variant": "b"}),
    ("exp4", {"variant": "c"}),
    ("ensemble", {}),
    ("ensemble", {"combine": "weighted"}),
    ("ensemble", {"combine": "weighted", "weights": {"m0": 2.0, "m1": 0.0}}),
    ("ensemble", {"combine": "mean"}),
    ("ensemble", {"combine": "median"}),
    ("ab", {}),
    ("ab", {"weights": {"m0": 3.0, "m2": 1.0}}),
    ("shadow", {}),
    ("cascade", {}),
    ("cascade", {"signal": "entropy", "threshold": 0.5, "thresholds": [0.1]}),
    ("cascade", {"signal": "gate", "gates": {"m0": {"intercept": -1.0, "margin": 3.0}}}),
)


def make_arms(count: int) -> tuple[Arm, ...]:
    """Return arms of the models m0, m1, …"""
    return tuple(Arm(f"key{index}", f"m{index}") for index in range(count))


def says(text: str) -> Vote:
    """Return the vote of a model that answers ``text``."""
    quoted = text if text[:1] in '{"0123456789-' else f'"{text}"'
    return read_vote(Output(text.encode(), quoted.encode()))


def learn(
    policy: SelectionPolicy,
    state: State,
    arms: Sequence[Arm],
    losses: Mapping[Arm, float],
    rng: random.Random,
) -> dict[str, float]:
    """Return the state after one query whose asked models had these losses."""
    choice = policy.choose(state, arms, NOBODY_SPECIAL, rng)
    known = {arm: losses[arm] for arm in choice.ask}
    return apply(state, policy.observe(state, choice, known, None), policy.floor)


def without_order(additions: Sequence[Addition], choice: Choice) -> dict[str, float]:
    """Return how far each number is moved."""
    moved: dict[str, float] = {}
    for addition in additions:
        moved[addition.field] = moved.get(addition.field, 0.0) + addition.amount
    return moved


class Run:
    """One policy on a table of labels, one row for each query; label 0 is always right."""

    _VOTES = tuple(says(str(label)) for label in range(10))

    def __init__(
        self,
        name: str,
        options: Mapping[str, object],
        table: npt.NDArray[np.int64],
        seed: int,
        refresh_queries: int = 1,
    ) -> None:
        """Ask once for each row; the policy sees the state only every ``refresh_queries``."""
        policy = make_policy(name, options)
        arms = make_arms(table.shape[1])
        rng = random.Random(seed)
        state: dict[str, float] = {}
        seen = state
        answered, asked = [], []
        for query, row in enumerate(table.tolist()):
            if query % refresh_queries == 0:
                seen = state
            said = dict(zip(arms, (self._VOTES[label] for label in row), strict=True))
            choice = policy.choose(seen, arms, NOBODY_SPECIAL, rng)
            votes = {arm: said[arm] for arm in choice.ask}
            combined = policy.combine(seen, choice, votes, rng)
            assert combined.output is not None
            answer = read_vote(combined.output)
            losses = {arm: float(vote.label != "0") for arm, vote in votes.items()}
            wrong = float(answer.label != "0")
            additions = policy.observe(seen, choice, losses, wrong, votes, answer)
            state = apply(state, additions, policy.floor)
            answered.append(wrong)
            asked.append(arms.index(choice.ask[0]))
        self.state = state
        self.wrong = np.array(answered)
        """Whether each answer was wrong."""
        self.asked = np.array(asked)
        """Index of the model that was asked, or the first of several."""


def draw_labels(
    error_rates: Sequence[float], queries: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return labels of models with these error rates; wrong ones are spread over nine others."""
    shape = (queries, len(error_rates))
    wrong = rng.random(shape) < np.array(error_rates)
    return np.where(wrong, rng.integers(1, 10, shape), 0)
