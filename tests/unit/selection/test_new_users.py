"""What a user without labels starts from, and how soon his own labels count for more."""

from __future__ import annotations

import random

import pytest

from clipper.selection.exp4 import Exp4Options, Exp4Policy
from clipper.selection.policy import Arm, Asker, State
from clipper.selection.state import apply
from clipper.selection.votes import read_vote, spell_output

ARMS = tuple(Arm(f"m{number}", f"m{number}") for number in range(9))
SOMEBODY = Asker("", b"x")
APPLICATION: State = {"w/m0": -50.0, **{f"w/m{number}": -60.0 for number in range(1, 9)}}
"""The first model is by far the best for most."""


def elected(policy: Exp4Policy, state: State, labels: str) -> str:
    rng = random.Random(1)
    choice = policy.choose(state, ARMS, SOMEBODY, rng)
    votes = {arm: read_vote(spell_output(label)) for arm, label in zip(ARMS, labels, strict=True)}
    output = policy.combine(state, choice, votes, rng).output
    assert output is not None
    return output.text.decode()


@pytest.mark.parametrize("eta", [0.2, 2.0])
def test_a_first_answer_is_that_of_the_applications_best_model(eta: float) -> None:
    policy = Exp4Policy(Exp4Options(variant="c", eta=eta))
    assert elected(policy, policy.seed(APPLICATION), "122222223") == "1"


def test_two_labels_change_the_model_of_a_user_who_differs() -> None:
    policy = Exp4Policy(Exp4Options(variant="c", eta=2.0))
    state = policy.seed(APPLICATION)
    choice = policy.choose(state, ARMS, SOMEBODY, random.Random(1))
    losses = {arm: float(arm.name != "m4") for arm in ARMS}
    for _ in range(2):
        state = apply(state, policy.observe(state, choice, losses, None), policy.floor)
    assert elected(policy, state, "122242222") == "4"
