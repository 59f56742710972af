"""Policies that ask one model: which one, and what feedback changes about it."""

from __future__ import annotations

import collections
import math
import random

import pytest

from clipper.datatypes import DEFAULT_POLICY
from clipper.selection.catalog import make_policy
from clipper.selection.policy import Arm, Asker, Choice, State
from clipper.selection.state import apply
from clipper.selection.tallies import count_losses
from clipper.selection.thompson import win_probabilities
from tests.unit.selection.simulation import NOBODY_SPECIAL, learn, make_arms, says

ARMS = make_arms(3)
A, B, C = ARMS


def _choose(name: str, options: dict[str, object], state: State, seed: int = 0) -> Choice:
    return make_policy(name, options).choose(state, ARMS, NOBODY_SPECIAL, random.Random(seed))


def _observed(**means: tuple[int, float]) -> dict[str, float]:
    """Arm key → (observations, mean loss) as a state."""
    state = {}
    for key, (count, mean) in means.items():
        state |= {f"n/{key}": float(count), f"loss/{key}": count * mean}
    return state


@pytest.mark.parametrize("name", [DEFAULT_POLICY, "static"])
def test_the_first_linked_model_is_asked_and_its_output_is_the_answer(name: str) -> None:
    policy = make_policy(name, {})
    rng = random.Random(0)

    choice = policy.choose({}, (B, A), NOBODY_SPECIAL, rng)
    assert choice.ask == (B,)
    vote = says('{"label": "cat", "confidence": 0.75}')
    combined = policy.combine({}, choice, {B: vote}, rng)
    assert combined.output is vote.output
    assert combined.confidence == 0.75
    assert combined.supporters == (B,)
    assert policy.combine({}, choice, {}, rng).output is None


def test_static_asks_the_named_model_and_nobody_in_its_stead() -> None:
    assert _choose("static", {"model": "m1"}, {}).ask == (B,)

    absent = _choose("static", {"model": "m9"}, {})
    assert absent.ask == ()
    assert make_policy("static", {}).combine({}, absent, {}, random.Random(0)).output is None


def test_shadow_answers_with_one_and_asks_all_others_silently() -> None:
    choice = _choose("shadow", {"model": "m1"}, {})

    assert choice.ask == (B,)
    assert choice.silent == (A, C)
    assert _choose("shadow", {}, {}).ask == (A,)
    absent = _choose("shadow", {"model": "m9"}, {})
    assert (absent.ask, absent.silent) == ((), ARMS)


def test_shadow_never_answers_with_a_shadow() -> None:
    policy = make_policy("shadow", {"model": "m1"})
    rng = random.Random(0)
    choice = policy.choose({}, ARMS, NOBODY_SPECIAL, rng)

    assert policy.combine({}, choice, {A: says("0"), C: says("0")}, rng).output is None


def test_epsilon_greedy_prefers_the_lowest_mean_loss() -> None:
    state = _observed(key0=(1000, 0.3), key1=(1000, 0.1), key2=(1000, 0.2))

    choice = _choose("epsilon-greedy", {"epsilon": 0.3}, state)

    assert choice.propensities == pytest.approx((0.1, 0.8, 0.1))


def test_ucb1_tries_every_model_and_then_adds_its_bonus_to_the_reward() -> None:
    assert _choose("ucb1", {}, _observed(key0=(5, 0.0), key1=(0, 0.0), key2=(5, 0.0))).ask == (B,)

    # Alike but for one that is hardly known: it gets the benefit of the doubt.
    assert _choose("ucb1", {}, _observed(key0=(90, 0.5), key1=(90, 0.5), key2=(3, 0.5))).ask == (C,)
    # Without bonus the best mean wins.
    known = _observed(key0=(90, 0.4), key1=(90, 0.5), key2=(3, 0.5))
    assert _choose("ucb1", {"exploration": 0.0}, known).ask == (A,)


def test_ucb1_doubts_a_bad_mean_more_as_time_goes_by() -> None:
    """The bonus has the logarithm of all observations: one of the models' number is constant."""
    early = _observed(key0=(50, 0.1), key1=(20, 0.5), key2=(50, 0.1))
    late = _observed(key0=(50_000_000, 0.1), key1=(20, 0.5), key2=(50_000_000, 0.1))

    assert _choose("ucb1", {}, early).ask != (B,)
    assert _choose("ucb1", {}, late).ask == (B,)


@pytest.mark.parametrize(
    ("posteriors", "expected"),
    [
        (((3.0, 5.0),), (1.0,)),
        (((2.0, 2.0), (2.0, 2.0)), (0.5, 0.5)),
        (((1.0, 1.0), (2.0, 1.0)), (1 / 3, 2 / 3)),  # P(U < max of two) = 2/3
        (((2e6, 1e6), (1e6, 2e6)), (1.0, 0.0)),
        (((1e6, 1e6), (1.0, 1.0)), (0.5, 0.5)),  # a needle and a plain
    ],
)
def test_the_probability_of_being_best_is_that_of_the_beta_distributions(
    posteriors: tuple[tuple[float, float], ...], expected: tuple[float, ...]
) -> None:
    assert win_probabilities(posteriors) == pytest.approx(expected, abs=0.003)


def test_the_probability_of_being_best_agrees_with_drawing_lots() -> None:
    posteriors = ((8.0, 3.0), (30.0, 12.0), (2.0, 1.5), (1.0, 4.0))
    rng = random.Random(3)
    wins = collections.Counter(
        max(range(4), key=[rng.betavariate(a, b) for a, b in posteriors].__getitem__)
        for _ in range(20_000)
    )

    drawn = [wins[index] / 20_000 for index in range(4)]
    assert win_probabilities(posteriors) == pytest.approx(drawn, abs=0.015)


def test_thompson_counts_fractions_of_a_loss() -> None:
    half = _observed(key0=(400, 0.5), key1=(400, 0.25), key2=(400, 0.9))

    assert _choose("thompson", {}, half).propensities == pytest.approx((0.0, 1.0, 0.0), abs=1e-3)


def test_exp3_takes_the_loss_divided_by_the_propensity() -> None:
    policy = make_policy("exp3", {"eta": 0.1})
    choice = Choice((B,), arms=ARMS, propensities=(0.5, 0.25, 0.25))

    after = apply({}, policy.observe({}, choice, {B: 0.5}, 0.5), None)

    assert after == pytest.approx({"w/key0": 0.0, "w/key1": -0.1 * 0.5 / 0.25, "w/key2": 0.0})


def test_exp3_learns_nothing_from_what_it_did_not_choose() -> None:
    policy = make_policy("exp3", {})
    choice = Choice((B,), arms=ARMS, propensities=(0.5, 0.25, 0.25))

    assert not policy.observe({}, choice, {A: 1.0, C: 0.0}, 1.0)
    only_b = policy.observe({}, choice, {B: 1.0}, 1.0)
    assert policy.observe({}, choice, {A: 1.0, B: 1.0}, 1.0) == only_b


def test_exp3_asks_in_proportion_to_weights() -> None:
    state = {"w/key0": math.log(6.0), "w/key1": math.log(3.0), "w/key2": 0.0}

    choice = _choose("exp3", {"gamma": 0.1}, state)

    expected = [0.9 * share + 0.1 / 3 for share in (0.6, 0.3, 0.1)]
    assert choice.propensities == pytest.approx(expected)


def test_a_failed_model_stays_within_reach_of_the_floor() -> None:
    policy = make_policy("exp3", {"depth": 3.0, "gamma": 0.0})
    rng = random.Random(0)
    state: dict[str, float] = {}
    for _ in range(3_000):
        state = learn(policy, state, ARMS, {A: 0.0, B: 1.0, C: 1.0}, rng)

    # A model that never fails is at 0; the others are e^-3 of it, not e^-30.
    assert state["w/key1"] == pytest.approx(-3.0)
    choice = policy.choose(state, ARMS, NOBODY_SPECIAL, rng)
    assert min(choice.propensities) > math.exp(-3.0) / 2.0


@pytest.mark.parametrize("name", ["epsilon-greedy", "ucb1", "thompson", "exp3"])
def test_a_model_that_joins_gets_a_fair_share_of_a_settled_application(name: str) -> None:
    policy = make_policy(name, {})
    rng = random.Random(1)
    state: dict[str, float] = {}
    for _ in range(400):
        state = learn(policy, state, ARMS[:2], {A: 0.6, B: 0.7}, rng)
    asked = collections.Counter[Arm]()
    for _ in range(800):
        choice = policy.choose(state, ARMS, NOBODY_SPECIAL, rng)
        asked[choice.ask[0]] += 1
        losses = {choice.ask[0]: {A: 0.6, B: 0.7, C: 0.0}[choice.ask[0]]}
        state = apply(state, policy.observe(state, choice, losses, None), policy.floor)

    assert asked[C] > 400


def test_a_joining_model_has_the_mean_weight_of_the_others() -> None:
    state = {"w/key0": -1000.0 + math.log(3.0), "w/key1": -1000.0}

    choice = _choose("exp3", {"gamma": 0.0}, state)

    assert choice.propensities == pytest.approx((0.5, 1 / 6, 1 / 3))


def test_a_model_that_is_gone_holds_nobody_up() -> None:
    """Its weight comes down with the others', or it would keep the floor above them for ever."""
    policy = make_policy("exp3", {"depth": 5.0})
    rng = random.Random(2)
    state: dict[str, float] = {"w/gone": 0.0, "w/key0": -50.0, "w/key1": -50.0}
    for _ in range(3_000):
        state = learn(policy, state, ARMS[:2], {A: 0.1, B: 0.6}, rng)

    assert state["w/key0"] - state["w/key1"] > 2.0
    assert state["w/gone"] <= state["w/key0"] + 1.0


def test_an_arm_of_which_nothing_is_known_is_written_when_others_learn() -> None:
    after = apply({}, count_losses({}, ARMS, {A: 1.0}), None)

    assert after["n/key1"] == 0.0
    assert apply(after, count_losses(after, ARMS, {B: 0.0}), None)["n/key1"] == 1.0
    assert _choose("epsilon-greedy", {"epsilon": 0.0}, after).ask == (B,)


@pytest.mark.parametrize("name", ["epsilon-greedy", "ucb1", "thompson"])
def test_a_new_user_soon_outweighs_what_others_taught(name: str) -> None:
    application = _observed(key0=(100_000, 0.1), key1=(100_000, 0.3), key2=(100_000, 0.5))
    policy = make_policy(name, {})
    rng = random.Random(4)
    state = dict(policy.seed(application))
    first = collections.Counter(
        policy.choose(state, ARMS, NOBODY_SPECIAL, random.Random(seed)).ask[0] for seed in range(50)
    )
    for _ in range(40):
        state = learn(policy, state, ARMS, {A: 1.0, B: 1.0, C: 0.0}, rng)

    assert first.most_common(1)[0][0] == A
    last = collections.Counter(
        policy.choose(state, ARMS, NOBODY_SPECIAL, random.Random(seed)).ask[0] for seed in range(50)
    )
    assert last[C] > 25


def _split(options: dict[str, object], arms: tuple[Arm, ...] = ARMS) -> dict[str, str]:
    policy = make_policy("ab", options)
    rng = random.Random(0)
    return {
        f"user{number}": policy.choose({}, arms, Asker(f"user{number}", b"x"), rng).ask[0].name
        for number in range(4_000)
    }


def test_ab_splits_users_as_weighted() -> None:
    shares = collections.Counter(_split({"weights": {"m0": 6.0, "m1": 3.0, "m2": 1.0}}).values())

    assert shares["m0"] / 4_000 == pytest.approx(0.6, abs=0.03)
    assert shares["m1"] / 4_000 == pytest.approx(0.3, abs=0.03)


def test_ab_keeps_a_user_whatever_the_input_the_order_and_the_version() -> None:
    policy = make_policy("ab", {})
    rng = random.Random(0)
    retrained = tuple(Arm(f"new{arm.key}", arm.name, "2") for arm in reversed(ARMS))
    for number in range(100):
        names = {
            policy.choose({}, arms, Asker(f"u{number}", text), rng).ask[0].name
            for arms in (ARMS, retrained)
            for text in (b"1", b"2")
        }
        assert len(names) == 1


def test_ab_moves_only_the_users_whose_share_moves() -> None:
    before = _split({"weights": {"m0": 5.0, "m1": 5.0}})
    after = _split({"weights": {"m0": 5.0, "m1": 5.0, "m2": 2.5}})

    moved = {user for user in before if before[user] != after[user]}
    assert len(moved) / len(before) == pytest.approx(0.2, abs=0.03)
    assert all(after[user] == "m2" for user in moved)


def test_ab_splits_anonymous_queries_by_input_and_differently_with_another_salt() -> None:
    rng = random.Random(0)
    asked: dict[str, list[Arm]] = {}
    for salt in ("", "x"):
        policy = make_policy("ab", {"salt": salt})
        inputs = [f"{number}".encode() for number in range(300)]
        asked[salt] = [policy.choose({}, ARMS, Asker("", i), rng).ask[0] for i in inputs]
        assert asked[salt] == [policy.choose({}, ARMS, Asker("", i), rng).ask[0] for i in inputs]
    assert len(set(asked[""])) == 3
    assert asked[""] != asked["x"]


def test_ab_gives_nothing_to_models_without_weight_unless_nobody_has_any() -> None:
    assert set(_split({"weights": {"m1": 1.0}}).values()) == {"m1"}
    assert set(_split({"weights": {"m9": 1.0}}).values()) == {"m0", "m1", "m2"}
    assert _choose("ab", {"weights": {"m0": 3.0, "m1": 1.0}}, {}).propensities == (0.75, 0.25, 0.0)
