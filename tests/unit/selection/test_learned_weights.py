"""What an ensemble makes of models of different worth."""

from __future__ import annotations

import random

from clipper.selection.ensemble import EnsembleOptions, EnsemblePolicy
from clipper.selection.policy import Arm, Asker, State
from clipper.selection.state import apply
from clipper.selection.votes import Vote, read_vote, spell_output

ARMS = tuple(Arm(f"m{number}", f"m{number}") for number in range(5))
SOMEBODY = Asker("", b"x")


def says(label: str) -> Vote:
    return read_vote(spell_output(label))


def after_feedback(policy: EnsemblePolicy, errors_of_100: tuple[int, ...]) -> State:
    """Return the state after 100 labels; each model missed so many, the first ones."""
    state: State = {}
    choice = policy.choose(state, ARMS, SOMEBODY, random.Random(1))
    for number in range(100):
        losses = {
            arm: float(number < errors) for arm, errors in zip(ARMS, errors_of_100, strict=True)
        }
        state = apply(state, policy.observe(state, choice, losses, None), policy.floor)
    return state


def elected(policy: EnsemblePolicy, state: State, labels: str) -> str:
    rng = random.Random(1)
    choice = policy.choose(state, ARMS, SOMEBODY, rng)
    votes = dict(zip(ARMS, map(says, labels), strict=True))
    output = policy.combine(state, choice, votes, rng).output
    assert output is not None
    return output.text.decode()


def test_poor_models_that_err_together_do_not_overrule_a_good_one() -> None:
    policy = EnsemblePolicy(EnsembleOptions(combine="weighted"))
    state = after_feedback(policy, (2, 11, 17, 18, 38))
    assert elected(policy, state, "12222") == "1"


def test_equally_good_models_outvote_one_that_is_a_little_better() -> None:
    policy = EnsemblePolicy(EnsembleOptions(combine="weighted"))
    state = after_feedback(policy, (9, 11, 11, 11, 11))
    assert elected(policy, state, "12222") == "2"
