"""What an application has learned, and whom its users are split over, outlives every process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from clipper.deployers import python as python_deployer
from tests.e2e import models
from tests.e2e.clusters import Cluster, eventually
from tests.e2e.stored_selection import stored_state
from tests.e2e.test_restart import WORKERS, Home

SLO_MICROS = 20_000_000
USERS = {"ann": "a", "bob": "b"}
"""User → whose answers are right for them."""

SPLIT_USERS = range(1, 31)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    try:
        yield home
    finally:
        home.cluster().connection.stop_all(graceful=False)


def furnish(cluster: Cluster) -> None:
    connection = cluster.connection
    for name in ("a", "b"):
        python_deployer.deploy_python_closure(connection, name, 1, "doubles", models.saying(name))
    for app, policy, options in (
        ("voted", "exp4", {"variant": "c"}),
        ("greedy", "epsilon-greedy", {"epsilon": 0.2}),
        ("split", "ab", {}),
    ):
        connection.register_application(
            app, "doubles", "DEFAULT", SLO_MICROS, policy=policy, policy_options=options
        )
        for name in ("a", "b"):
            connection.link_model_to_app(app, name)


def teach(cluster: Cluster, app: str) -> None:
    """Each user says of 60 answers whether they were right."""
    for uid, label in USERS.items():
        for _ in range(3):
            answer = cluster.predict(app, uid=uid, input_batch=[[1.0]] * 20)
            updates = [
                {"query_id": part["query_id"], "label": label}
                for part in answer["batch_predictions"]
            ]
            response = requests.post(
                cluster.url(app, "update"), json={"updates": updates}, timeout=60
            )
            assert response.json() == {"accepted": 20, "duplicates": 0}, response.text


def answers(cluster: Cluster, app: str, uid: str | int, count: int = 20) -> list[str]:
    parts = cluster.predict(app, uid=uid, input_batch=[[3.0]] * count)["batch_predictions"]
    assert not any(part["default"] for part in parts)
    return [part["output"] for part in parts]


def split(cluster: Cluster) -> dict[int, str]:
    """Return the model of each user, over new connections."""
    return {uid: cluster.predict("split", uid=uid, input=[1.0])["output"] for uid in SPLIT_USERS}


def assert_users_have_their_models(cluster: Cluster) -> None:
    for _ in range(4):  # new connections: both workers answer some, each from what it has read
        for uid, label in USERS.items():
            eventually(
                lambda uid=uid, label=label: set(answers(cluster, "voted", uid)) == {label},  # type: ignore[misc]
                f"{uid} is answered by {label}",
                timeout_s=10.0,
            )
            # A fifth of the queries ask one of both at random.
            eventually(
                lambda uid=uid, label=label: answers(cluster, "greedy", uid, 100).count(label) > 70,  # type: ignore[misc]
                f"{uid} is mostly answered by {label}",
                timeout_s=10.0,
            )


def kill_the_workers(cluster: Cluster) -> None:
    [supervisor] = cluster.pids("query-frontend")
    before = serving(cluster)
    for child in psutil.Process(supervisor).children():
        os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: len(serving(cluster) - before) == WORKERS, "new workers serve")


def serving(cluster: Cluster) -> set[int]:
    """Return marks of the workers that answered new connections; none if one had no answer."""
    try:
        answers = [cluster.post("split", uid=uid, input=[1.0]).json() for uid in SPLIT_USERS]
    except requests.ConnectionError:
        return set()
    if any(answer["default"] for answer in answers):
        return set()
    return {answer["query_id"] >> 32 for answer in answers}


def test_users_keep_what_was_learned_of_them(home: Home) -> None:
    cluster = home.started()
    furnish(cluster)
    for app in ("voted", "greedy"):
        teach(cluster, app)
    assert_users_have_their_models(cluster)
    places = split(cluster)
    assert set(places.values()) == {"a", "b"}
    learned = {uid: stored_state(cluster, "voted", uid) for uid in ("", *USERS)}
    assert [state.version for state in learned.values()] == [120, 60, 60]

    kill_the_workers(cluster)
    assert_users_have_their_models(cluster)
    assert split(cluster) == places

    cluster.connection.stop_all()
    cluster = home.started()
    assert_users_have_their_models(cluster)
    assert split(cluster) == places
    assert {uid: stored_state(cluster, "voted", uid) for uid in learned} == learned
