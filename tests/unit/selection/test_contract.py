"""What every policy keeps to, whatever its state, its models and their answers."""

from __future__ import annotations

import copy
import random
import types
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipper.selection.catalog import make_policy, policy_names
from clipper.selection.policy import Addition, Arm, Asker, Choice, SelectionPolicy
from clipper.selection.single import SingleModelPolicy
from clipper.selection.state import apply
from clipper.selection.votes import Vote
from tests.unit.selection.simulation import (
    EVERY_POLICY,
    NOBODY_SPECIAL,
    learn,
    make_arms,
    says,
)

ARMS = make_arms(5)
STRANGER = Arm("gone", "old")

every_policy = pytest.mark.parametrize(
    "policy", [make_policy(*named) for named in EVERY_POLICY], ids=map(str, EVERY_POLICY)
)

_answers = st.sampled_from(
    [
        "0",
        "1",
        "1.0",
        "-7.25",
        "cat",
        "",
        '{"label": 1, "confidence": 0.9}',
        '{"label": "cat", "probabilities": {"cat": 0.6, "dog": 0.4}}',
        '{"probabilities": [0.1, 0.7, 0.2]}',
        '{"probabilities": {"cat": 0.0}}',
        '{"neither": "nor"}',
    ]
).map(says)
_keys = st.sampled_from([arm.key for arm in (*ARMS, STRANGER)])
_weights = st.floats(-1e300, 1e300)
_counts = st.tuples(st.floats(0.0, 1e9), st.floats(0.0, 1.0))
_said = st.tuples(st.floats(0.0, 1e9), st.floats(-1e9, 1e9))


@st.composite
def _states(draw: st.DrawFn) -> Mapping[str, float]:
    """States with numbers of every kind about some of the arms, and about one that is gone."""
    state = {f"w/{key}": weight for key, weight in draw(st.dictionaries(_keys, _weights)).items()}
    for key, (count, mean) in draw(st.dictionaries(_keys, _counts)).items():
        state |= {f"n/{key}": count, f"loss/{key}": count * mean}
    for key, (heard, mean) in draw(st.dictionaries(_keys, _said)).items():
        state |= {f"heard/{key}": heard, f"said/{key}": heard * mean}
    return types.MappingProxyType(state)  # a policy that writes to it fails


_arms = st.lists(st.sampled_from(ARMS), min_size=1, unique=True)
_askers = st.builds(Asker, st.text(max_size=5), st.binary(max_size=5))
_seeds = st.integers(0, 1 << 32).map(random.Random)


def _heard(draw: st.DrawFn, asked: Sequence[Arm]) -> dict[Arm, Vote]:
    return {arm: draw(_answers) for arm in asked if draw(st.booleans())}


def test_every_policy_is_in_the_contract() -> None:
    assert {name for name, _ in EVERY_POLICY} == set(policy_names())


@every_policy
@settings(max_examples=30)
@given(state=_states(), arms=_arms, who=_askers, rng=_seeds)
def test_only_linked_models_are_asked_and_with_known_probability(
    policy: SelectionPolicy,
    state: Mapping[str, float],
    arms: list[Arm],
    who: Asker,
    rng: random.Random,
) -> None:
    same = copy.deepcopy(rng)
    choice = policy.choose(state, arms, who, rng)

    assert choice.ask
    everybody = [*choice.ask, *choice.silent]
    assert set(everybody) <= set(arms)
    assert len(set(everybody)) == len(everybody)
    assert set(choice.ask) <= set(choice.arms) <= set(arms)
    assert len(choice.propensities) == len(choice.arms)
    assert all(0.0 <= propensity <= 1.0 + 1e-9 for propensity in choice.propensities)
    if len(choice.arms) > 1 and choice.ask == choice.arms:
        assert set(choice.propensities) == {1.0}
    else:
        assert len(choice.ask) == 1
        assert sum(choice.propensities) == pytest.approx(1.0)
        assert choice.propensity(choice.ask[0]) > 0.0
    assert policy.choose(state, arms, who, same) == choice


@every_policy
@settings(max_examples=30)
@given(state=_states(), arms=_arms, rng=_seeds, data=st.data())
def test_any_subset_of_votes_can_be_combined(
    policy: SelectionPolicy,
    state: Mapping[str, float],
    arms: list[Arm],
    rng: random.Random,
    data: st.DataObject,
) -> None:
    choice = policy.choose(state, arms, NOBODY_SPECIAL, rng)
    asked = choice.arms if policy.combines else choice.ask
    votes = {arm: data.draw(_answers) for arm in asked if data.draw(st.booleans())}
    missing = [arm for arm in choice.ask if arm not in votes and data.draw(st.booleans())]

    further = policy.advance(state, choice, votes, missing)
    combined = policy.combine(state, choice, votes, rng)

    assert further is None or set(further) <= set(choice.arms) - set(votes) - set(missing)
    assert set(combined.supporters) <= set(votes)
    assert combined.confidence is None or 0.0 <= combined.confidence <= 1.0
    if not votes:
        assert combined.output is None
        assert further is not None or not set(choice.arms) - set(missing)
    elif all(vote.number is not None for vote in votes.values()):
        assert combined.output is not None


@every_policy
@settings(max_examples=30)
@given(state=_states(), arms=_arms, rng=_seeds, data=st.data())
def test_feedback_adds_finite_numbers_in_any_order(
    policy: SelectionPolicy,
    state: Mapping[str, float],
    arms: list[Arm],
    rng: random.Random,
    data: st.DataObject,
) -> None:
    given_: list[Addition] = []
    for _ in range(2):
        choice = policy.choose(state, arms, NOBODY_SPECIAL, rng)
        votes = _heard(data.draw, arms)
        losses = {arm: data.draw(st.floats(0.0, 1.0)) for arm in votes}
        answer = data.draw(st.none() | _answers)
        loss = None if answer is None else data.draw(st.floats(0.0, 1.0))
        additions = policy.observe(state, choice, losses, loss, votes, answer)
        assert policy.learns or not additions
        given_ += additions

    forwards, backwards = apply(state, given_, None), apply(state, given_[::-1], None)
    assert all(abs(addition.amount) < float("inf") for addition in given_)
    assert forwards == pytest.approx(backwards)
    after = apply(state, given_, policy.floor)
    assert policy.choose(after, arms, NOBODY_SPECIAL, rng).ask


@every_policy
@settings(max_examples=30)
@given(state=_states())
def test_a_new_user_starts_from_finite_numbers_that_are_not_far_apart(
    policy: SelectionPolicy, state: Mapping[str, float]
) -> None:
    seed = policy.seed(state)

    assert set(seed) <= set(state)
    assert all(abs(value) < float("inf") for value in seed.values())
    assert all(value <= 4.0 for field, value in seed.items() if field[:2] == "n/")
    weights = [value for field, value in seed.items() if field[:2] == "w/"]
    if weights:
        assert max(weights) - min(weights) <= 10.0


@every_policy
def test_what_learns_asks_for_feedback_of_choices_of_others_in_vain(
    policy: SelectionPolicy,
) -> None:
    """An application may have had another policy when a choice was made."""
    nobody = Choice(())
    strange = Choice((STRANGER,), arms=(STRANGER,), propensities=(0.0,))

    policy.observe({}, nobody, {}, None)
    additions = policy.observe({}, strange, {STRANGER: 1.0}, 1.0)

    assert all(addition.field.endswith("/gone") for addition in additions)


@pytest.mark.parametrize(
    "policy",
    [
        make_policy("exp3", {"gamma": 0.0, "depth": 700.0}),
        make_policy("exp4", {"gamma": 0.0, "depth": 700.0}),
        make_policy("exp3", {}),
    ],
)
def test_no_number_of_losses_makes_a_weight_vanish(policy: SelectionPolicy) -> None:
    arms = make_arms(2)
    rng = random.Random(5)
    state: dict[str, float] = {}
    always = dict.fromkeys(arms, 1.0)
    for _ in range(100_000):
        state = learn(policy, state, arms, always, rng)

    assert all(-1e6 < value < -1e3 for value in state.values())
    choice = policy.choose(state, arms, NOBODY_SPECIAL, rng)
    assert all(propensity > 0.0 for propensity in choice.propensities)
    # and the weights still tell models apart
    only_first = {arms[0]: 1.0, arms[1]: 0.0}
    for _ in range(5_000):
        state = learn(policy, state, arms, only_first, rng)
    assert state["w/key1"] > state["w/key0"] + 3.0


@pytest.mark.parametrize("name", ["exp3", "epsilon-greedy"])
@given(state=_states(), arms=_arms, rng=_seeds)
@settings(max_examples=50)
def test_exploration_has_a_floor(
    name: str, state: Mapping[str, float], arms: list[Arm], rng: random.Random
) -> None:
    policy = make_policy(name, {"gamma" if name == "exp3" else "epsilon": 0.2})

    choice = policy.choose(state, arms, NOBODY_SPECIAL, rng)

    assert min(choice.propensities) >= 0.2 / len(arms) - 1e-12


def test_policies_of_one_model_are_known_as_such() -> None:
    for named in EVERY_POLICY:
        policy = make_policy(*named)
        assert isinstance(policy, SingleModelPolicy) != policy.combines
