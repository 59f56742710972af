"""Findings of `doctor` from facts."""

from __future__ import annotations

from typing import Any

import pytest

from clipper.cli.diagnosis import Facts, examine
from clipper.cli.home import HOMES
from clipper.cli.modes import Mode


def facts(**changed: Any) -> Facts:
    base: dict[str, Any] = {
        "cluster": "c",
        "python": (3, 12),
        "missing_packages": (),
        "state_dir": "/s",
        "state_dir_writable": True,
        "running": True,
        "workers": [{"worker_id": "w1", "applied_revision": 4}],
    }
    return Facts(**{**base, **changed})


def child(**changed: Any) -> dict[str, Any]:
    base = {"role": "model:m:1", "index": 0, "pid": None, "restarts": 3, "log": "/l"}
    return {**base, **changed}


def model(**changed: Any) -> dict[str, Any]:
    return {
        "model_name": "m",
        "model_version": "1",
        "is_current_version": True,
        "container_name": "img",
        "replicas_ready": 0,
        "replicas_running": 0,
        **changed,
    }


@pytest.mark.parametrize(
    ("changed", "detail", "step"),
    [
        ({"python": (3, 10)}, "3.10 is not supported", "Use one of Python 3.11"),
        ({"missing_packages": ("redis",)}, "missing: redis", "pip install redis"),
        ({"state_dir_writable": False}, "/s is not writable", "--state-dir"),
        ({"running": False, "taken_ports": [1337]}, "port 1337 is taken", "--query-port"),
        ({"services": {"store": 1}}, "store: 0 of 1 running", "clipper logs store"),
        (
            {
                "services": {"store": 1},
                "children": [child(role="store", state="removed", restarts=0)],
            },
            "store: 0 of 1 running, its container was removed",
            "clipper down, then clipper up",
        ),
        (
            {
                "home": HOMES[Mode.DOCKER],
                "unreachable": {"management API": "c runs without its query"},
            },
            "runs without its query",
            "clipper down, then clipper up: nothing is lost",
        ),
        (
            {"children": [child()], "log_tails": {"/l": "KeyError: 'x'"}},
            "KeyError: 'x'",
            "Mend the cause",
        ),
        (
            {"unreachable": {"query frontend": "gone"}},
            "query frontend: gone",
            "clipper logs query-frontend",
        ),
        ({"workers": []}, "no frontend worker has a lease", "clipper logs"),
        (
            {"workers": [{"worker_id": f"w{i}", "applied_revision": i} for i in (3, 4)]},
            "w3 have not applied revision 4",
            "clipper logs query-frontend",
        ),
        ({"models": [model()]}, "m:1 has no ready replica", "clipper scale m 1 --version 1"),
        ({"models": [model(replicas_running=1)]}, "m:1 has no ready", "clipper logs m:1"),
        (
            {"models": [model(container_name="NO_CONTAINER")]},
            "m:1 has no ready replica",
            "start its container yourself",
        ),
        (
            {"applications": [{"name": "a", "linked_models": ["x"]}]},
            "asks model x, which is not registered",
            "clipper unlink a x",
        ),
        (
            {"applications": [{"name": "a", "linked_models": []}]},
            "asks no model",
            "clipper link a MODEL",
        ),
    ],
)
def test_problem_and_next_step(changed: dict[str, Any], detail: str, step: str) -> None:
    problems = [finding for finding in examine(facts(**changed)) if finding.is_problem]
    found = [finding for finding in problems if detail in finding.detail]
    assert len(found) == 1
    assert step in found[0].next_step


def test_no_problem_without_a_reason() -> None:
    fine = facts(
        models=[model(replicas_ready=1), model(model_version="0", is_current_version=False)],
        applications=[{"name": "a", "linked_models": ["m"]}],
        children=[child(pid=7, restarts=1)],
        services={"model:m:1": 1},
    )
    assert [finding for finding in examine(fine) if finding.is_problem] == []
