"""Counting weighted votes: who wins, how clearly, and whether that can still change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from clipper.selection.policy import Arm
from clipper.selection.votes import Label, Vote

_ROUNDING = 1e-9
"""Share of all weight by which sums may be wrong."""


class Candidate(msgspec.Struct, frozen=True):
    """The votes for one label."""

    label: Label
    weight: float
    voters: tuple[Arm, ...]
    """Heaviest first, then in the order they were linked."""


def count_votes(
    arms: Sequence[Arm], weights: Sequence[float], votes: Mapping[Arm, Vote]
) -> list[Candidate]:
    """Return the labels voted for, the winner first.

    Of labels with equal weight, the one with the heaviest single voter wins; of those, the one
    whose heaviest voter was linked first.
    """
    order = sorted(range(len(arms)), key=lambda index: -weights[index])
    sums: dict[Label, float] = {}
    voters: dict[Label, list[Arm]] = {}
    for index in order:
        vote = votes.get(arms[index])
        if vote is not None:
            sums[vote.label] = sums.get(vote.label, 0.0) + weights[index]
            voters.setdefault(vote.label, []).append(arms[index])
    slack = _ROUNDING * sum(weights)
    ranked = [Candidate(label, weight, tuple(voters[label])) for label, weight in sums.items()]
    if not ranked:
        return ranked
    most = max(candidate.weight for candidate in ranked)
    winner = next(candidate for candidate in ranked if candidate.weight >= most - slack)
    return [winner, *(candidate for candidate in ranked if candidate is not winner)]


def is_decided(
    arms: Sequence[Arm],
    weights: Sequence[float],
    votes: Mapping[Arm, Vote],
    missing: Sequence[Arm],
) -> bool:
    """Return whether no vote that is still to come could make another label win."""
    pending = sum(
        weight
        for arm, weight in zip(arms, weights, strict=True)
        if arm not in votes and arm not in missing
    )
    counted = count_votes(arms, weights, votes)
    if not counted:
        return False
    second = max((candidate.weight for candidate in counted[1:]), default=0.0)
    return counted[0].weight - second - pending > _ROUNDING * sum(weights)
