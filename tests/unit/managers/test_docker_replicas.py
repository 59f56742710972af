"""Which containers of a version are started and stopped, and which ones are to blame."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from clipper.managers.docker import failures
from clipper.managers.docker.plan import Model
from clipper.managers.docker.replicas import ReplicaChange, ReplicaState, plan_change

WANTED = Model("m", "1", "doubles", "img", "new")


def one(name: str, image: str = "new", alive: bool = True, kind: str = "doubles") -> ReplicaState:
    return ReplicaState(name, image, kind, alive)


@pytest.mark.parametrize(
    ("found", "number", "change"),
    [
        ([], 2, ReplicaChange(2, ())),
        ([one("b"), one("a")], 2, ReplicaChange(0, ())),
        ([one("c"), one("b"), one("a")], 1, ReplicaChange(0, ("c", "b"))),
        ([one("b"), one("a")], 0, ReplicaChange(0, ("b", "a"))),
        ([one("b"), one("a", alive=False)], 2, ReplicaChange(1, ("a",))),
        ([one("b", image="old"), one("a")], 2, ReplicaChange(1, ("b",))),
        ([one("a", kind="bytes")], 1, ReplicaChange(1, ("a",))),
    ],
)
def test_change(found: list[ReplicaState], number: int, change: ReplicaChange) -> None:
    assert plan_change(found, WANTED, number) == change


def attributes(restarts: int = 0, memory: int = 0, **state: Any) -> dict[str, Any]:
    base = {
        "Status": "restarting",
        "ExitCode": 1,
        "OOMKilled": False,
        "Error": "",
        "StartedAt": "2026-01-01T00:00:00.123456789Z",
        "FinishedAt": "2026-01-01T00:00:01.5Z",
    }
    return {
        "RestartCount": restarts,
        "HostConfig": {"Memory": memory},
        "State": {**base, **state},
    }


@pytest.mark.parametrize(
    ("given", "deaths"),
    [
        (attributes(restarts=3), 3),
        (attributes(restarts=3, Status="running"), 0),
        (attributes(restarts=3, FinishedAt="2026-01-01T00:01:00Z"), 0),
    ],
)
def test_only_a_short_run_that_ended_just_now_counts(given: dict[str, Any], deaths: int) -> None:
    assert failures.early_deaths(given) == deaths


@pytest.mark.parametrize(
    ("given", "log", "text"),
    [
        (
            attributes(2, memory=64 * 2**20, OOMKilled=True, ExitCode=137),
            "",
            "was killed because it needed more memory than its limit of 64 MiB, 2 times so far",
        ),
        (attributes(1, ExitCode=139), "", "was killed by signal 11, once so far"),
        (
            attributes(1, ExitCode=3),
            "ModuleNotFoundError: No module named 'x'",
            "exited with status 3 (a package is missing: name it in pkgs_to_install), once so far",
        ),
        (attributes(Error="no such device"), "", "cannot be started: no such device"),
    ],
)
def test_end_in_words(given: dict[str, Any], log: str, text: str) -> None:
    assert failures.describe_end(given, log) == text


def test_uptime() -> None:
    now = datetime.datetime(2026, 1, 1, 0, 0, 10, tzinfo=datetime.UTC)
    running = attributes(Status="running", StartedAt="2026-01-01T00:00:08Z")["State"]
    assert failures.uptime_s(running, now) == 2.0
    assert failures.uptime_s(attributes()["State"], now) is None
