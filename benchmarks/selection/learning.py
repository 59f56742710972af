"""Drives the selection layer's own policies: choose, combine, observe, and apply to a state.

Nothing here is a second implementation of a policy, nor of what its additions do to a state.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from clipper.selection.catalog import find_policy
from clipper.selection.options import decode_options
from clipper.selection.policy import Addition, Arm, Asker, Combined, SelectionPolicy
from clipper.selection.state import apply
from clipper.selection.votes import Vote, read_vote

NOBODY_IN_PARTICULAR = Asker("", b"")
WRONG, RIGHT = 1.0, 0.0


def make(name: str, **options: Any) -> SelectionPolicy:
    """Return a policy with options, both as an application would be registered with them.

    Raises:
        InvalidRequest: there is no such policy, or no such option.
    """
    policy = find_policy(name)
    return policy(decode_options(policy, options))


class Learner:
    """One application, or one of its users: a policy, a state, and a source of chance."""

    def __init__(
        self,
        policy: SelectionPolicy,
        arms: Sequence[Arm],
        rng: random.Random,
        state: Mapping[str, float] | None = None,
    ) -> None:
        self.state: Mapping[str, float] = {} if state is None else state
        self.added: Sequence[Addition] = ()
        """What the last label added to the state."""
        self._policy = policy
        self._arms = arms
        self._rng = rng

    def answer(self, ballot: Mapping[Arm, Vote]) -> Combined:
        """Predict and learn nothing: what everybody would say is in the ballot."""
        choice = self._policy.choose(self.state, self._arms, NOBODY_IN_PARTICULAR, self._rng)
        votes = {arm: ballot[arm] for arm in choice.ask}
        return self._policy.combine(self.state, choice, votes, self._rng)

    def round(self, ballot: Mapping[Arm, Vote], label: str) -> bool:
        """Predict, then take the label as feedback; return whether the prediction was wrong."""
        policy, state, rng = self._policy, self.state, self._rng
        choice = policy.choose(state, self._arms, NOBODY_IN_PARTICULAR, rng)
        votes = {arm: ballot[arm] for arm in choice.ask}
        combined = policy.combine(state, choice, votes, rng)
        losses = {arm: RIGHT if vote.label == label else WRONG for arm, vote in votes.items()}
        answer = None if combined.output is None else read_vote(combined.output)
        wrong = answer is None or answer.label != label
        additions = policy.observe(
            state, choice, losses, None if answer is None else float(wrong), votes, answer
        )
        self.added = additions
        if additions:
            self.state = apply(state, additions, policy.floor)
        return wrong

    def is_wrong(self, ballot: Mapping[Arm, Vote], label: str) -> bool:
        """Predict and learn nothing; return whether the prediction was wrong."""
        output = self.answer(ballot).output
        return output is None or read_vote(output).label != label
