"""E14: selection states of users (NSDI'17, figure 10), and that they survive the store's death.

Eight dialects of handwritten digits, a model for each, and one for all. 160 users write in one
dialect each; a fifth of them declare a wrong one. The application asks all nine models and starts
a user from what it knows of everybody. After every label the users' states go to a real store;
halfway it is killed and started again, and the users go on from what it has.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from benchmarks.publishing import Result, panels
from benchmarks.selection.experts import Array, arms, ballots, digits, label_vote
from benchmarks.selection.learning import Learner, make
from benchmarks.selection.user_states import StateKeeper
from benchmarks.verdict import Verdict, at_most, between
from clipper.selection.policy import Arm
from clipper.selection.votes import Vote

USERS, FEEDBACKS = 160, 8
WRONGLY_DECLARED = 0.2
_KILLED_AFTER = 4
_EARLIER_LABELS = 800
"""Labels of other users, from which the application knows the models."""
_TEST_IMAGES = 40
_POLICIES: Mapping[str, dict[str, Any]] = {
    "exp4, variant c, eta 2": {"name": "exp4", "variant": "c", "eta": 2.0},
    "exp4, variant c, eta 0.2": {"name": "exp4", "variant": "c"},
    "ensemble, learned weights": {"name": "ensemble", "combine": "weighted"},
}
_STORED = "exp4, variant c, eta 2"
"""A user gives few labels, so each has to count for much."""

Example = tuple[Mapping[Arm, Vote], str]


def _rotate(times: int) -> Callable[[Array], Array]:
    return lambda images: np.rot90(images, times, (1, 2))


def _shuffled(images: Array) -> Array:
    order = np.random.default_rng(3).permutation(64)
    return images.reshape(-1, 64)[:, order].reshape(-1, 8, 8)


def _noisy(images: Array) -> Array:
    return np.clip(images + np.random.default_rng(4).normal(0.0, 0.25, images.shape), 0.0, 1.0)


DIALECTS: Mapping[str, Callable[[Array], Array]] = {
    "upright": lambda images: images,
    "turned left": _rotate(1),
    "upside down": _rotate(2),
    "turned right": _rotate(3),
    "mirrored": lambda images: images[:, :, ::-1],
    "inverted": lambda images: 1.0 - images,
    "noisy": _noisy,
    "shuffled": _shuffled,
}
ARMS = arms(["general", *(name.replace(" ", "-") for name in DIALECTS)])


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """Somebody who writes in one dialect."""

    uid: str
    declared: Arm
    feedback: list[Example]
    test: list[Example]


def run() -> Result:
    """Let users give feedback, and judge what the policies answer them after each label."""
    spoken = _spoken()
    earlier, users = _population(spoken)
    general = _error_of(users, lambda user: ARMS[0])
    declared = _error_of(users, lambda user: user.declared)
    curves: dict[str, list[float]] = {}
    lost = 0.0
    for title, options in _POLICIES.items():
        if title == _STORED:
            curves[title], lost = _stored_curve(options, earlier, users)
        else:
            curves[title], _ = _curve(options, earlier, users, None)
    rows = [
        {"policy": title, "feedbacks": number, "error": error}
        for title, errors in curves.items()
        for number, error in enumerate(errors)
    ]
    rows += [
        {"policy": name, "feedbacks": 0, "error": error}
        for name, error in (("general model", general), ("declared dialect", declared))
    ]
    curve = curves[_STORED]
    verdicts = [
        between(
            "error without labels less that of the general model", curve[0] - general, -0.01, 0.01
        ),
        at_most(
            f"error after {FEEDBACKS} labels / that of the declared dialect's model",
            curve[-1] / declared,
            1.0,
        ),
    ]
    note = f"{USERS} users, killed with SIGKILL after {_KILLED_AFTER} labels each"
    verdicts.append(at_most("largest difference of a state after the restart", lost, 0.0, note))
    verdicts.append(_first_better(curve, declared))
    figure, (axis,) = panels(1)
    for title, errors in curves.items():
        axis.plot(range(FEEDBACKS + 1), errors, "o-", label=title)
    axis.axhline(general, linestyle=":", color="0.3", label="general model")
    axis.axhline(declared, linestyle="--", color="0.5", label="model of the declared dialect")
    axis.axvline(_KILLED_AFTER + 0.5, color="tab:red", linewidth=1, label="store killed")
    axis.set(xlabel="labels of the user", ylabel="error", ylim=(0, None))
    axis.legend(fontsize=7)
    notes = [
        f"judged: {_STORED}; the others run for comparison",
        f"{WRONGLY_DECLARED:.0%} of the users declare a wrong dialect",
    ]
    return Result("e14", "Selection by user", rows, verdicts, figure, notes)


def _spoken() -> list[list[Example]]:
    """Return for each dialect the held-out images in it: what all models say, and the label."""
    split = digits()
    train = split.train_inputs.reshape(-1, 8, 8)
    held_out = split.inputs.reshape(-1, 8, 8)
    written = [dialect(train).reshape(-1, 64) for dialect in DIALECTS.values()]
    forest = RandomForestClassifier(10, max_depth=7, random_state=0)
    models = [forest.fit(np.concatenate(written), np.tile(split.train_labels, len(written)))]
    models += [
        LogisticRegression(C=0.3, max_iter=200).fit(images, split.train_labels)
        for images in written
    ]
    labels = [str(label) for label in split.labels.tolist()]
    spoken = []
    for dialect in DIALECTS.values():
        images = dialect(held_out).reshape(-1, 64)
        votes = [[label_vote(said) for said in model.predict(images).tolist()] for model in models]
        spoken.append(list(zip(ballots(ARMS, votes), labels, strict=True)))
    return spoken


def _population(spoken: Sequence[Sequence[Example]]) -> tuple[list[Example], list[User]]:
    """Return labels of earlier users, and the users; nobody is judged on an image of his labels."""
    rng = random.Random(8)
    earlier = [rng.choice(spoken[rng.randrange(len(spoken))]) for _ in range(_EARLIER_LABELS)]
    users = []
    for number in range(USERS):
        dialect = number % len(spoken)
        said = dialect
        if rng.random() < WRONGLY_DECLARED:
            said = rng.choice([other for other in range(len(spoken)) if other != dialect])
        images = rng.sample(list(spoken[dialect]), FEEDBACKS + _TEST_IMAGES)
        users.append(User(f"user-{number}", ARMS[1 + said], images[:FEEDBACKS], images[FEEDBACKS:]))
    return earlier, users


def _error_of(users: Sequence[User], asked: Callable[[User], Arm]) -> float:
    """Return the mean error of one fixed model for each user."""
    return statistics.fmean(
        ballot[asked(user)].label != label for user in users for ballot, label in user.test
    )


def _stored_curve(
    options: Mapping[str, Any], earlier: Sequence[Example], users: Sequence[User]
) -> tuple[list[float], float]:
    with tempfile.TemporaryDirectory(prefix="clipper-e14-") as directory:
        keeper = StateKeeper(Path(directory))
        try:
            return _curve(options, earlier, users, keeper)
        finally:
            keeper.stop()


def _curve(
    options: Mapping[str, Any],
    earlier: Sequence[Example],
    users: Sequence[User],
    keeper: StateKeeper | None,
) -> tuple[list[float], float]:
    """Return the error after each number of labels, and what the store's death changed."""
    policy = make(**options)
    rng = random.Random(6)
    everybody = Learner(policy, ARMS, rng)
    for ballot, label in earlier:
        everybody.round(ballot, label)
    seed = policy.seed(everybody.state)
    learners = {user.uid: Learner(policy, ARMS, rng, seed) for user in users}
    errors = [_error(users, learners)]
    lost = 0.0
    for number in range(FEEDBACKS):
        added = {}
        for user in users:
            ballot, label = user.feedback[number]
            learner = learners[user.uid]
            learner.round(ballot, label)
            added[user.uid] = learner.added
        if keeper is not None:
            keeper.store(number, policy.floor, seed, added)
            if number + 1 == _KILLED_AFTER:
                lost = _restart(keeper, learners)
        errors.append(_error(users, learners))
    return errors, lost


def _restart(keeper: StateKeeper, learners: Mapping[str, Learner]) -> float:
    """Kill the store, start it, go on with what it has; return the largest difference."""
    keeper.restart()
    lost = 0.0
    for uid, stored in keeper.read(list(learners)).items():
        known = learners[uid].state
        fields = {*known, *stored}
        missing = [field for field in fields if field not in stored or field not in known]
        assert not missing, f"{uid}: {missing}"
        lost = max([lost, *(abs(known[field] - stored[field]) for field in fields)])
        learners[uid].state = stored
    return lost


def _error(users: Sequence[User], learners: Mapping[str, Learner]) -> float:
    return statistics.fmean(
        learners[user.uid].is_wrong(ballot, label) for user in users for ballot, label in user.test
    )


def _first_better(curve: Sequence[float], declared: float) -> Verdict:
    first = next((n for n, error in enumerate(curve) if error < declared), FEEDBACKS + 1)
    name = "labels until the error is below that of the declared dialect's model"
    return at_most(name, first, 2, "the paper's needs one")
