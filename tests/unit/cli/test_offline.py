"""Commands on policies and on the log of feedback, from a cluster in memory."""

from __future__ import annotations

import json
import pathlib
import random
import shlex
import sys
from typing import Any

import msgspec
import pytest

from clipper.errors import ClipperException
from clipper.selection.catalog import describe_policies
from clipper.selection.ledger import summarise
from clipper.selection.policy import Choice
from clipper.selection.records import encode_record
from tests.fakes.fake_management import FakeCluster
from tests.fakes.selection_policies import ARMS, all_at_once, one_at_a_time, record_of
from tests.unit.cli.conftest import Run

CHEAP, DEAR = ARMS[:2]


@pytest.fixture(autouse=True)
def policy(cluster: FakeCluster) -> dict[str, Any]:
    """An application with two linked models, the dear one first."""
    summary = summarise({}, (DEAR, CHEAP), {DEAR.name: 8.0})
    cluster.policy = {
        "app_name": "shop",
        "policy": "ensemble",
        "policy_options": {"gamma": 0.5},
        "min_confidence": None,
        "calibration": "none",
        "loss": "zero-one",
        "loss_scale": 1.0,
        "costs": {DEAR.name: 8.0},
        "feedback": 0,
        "summary": json.loads(msgspec.json.encode(summary)),
    }
    return cluster.policy


def log_answers(cluster: FakeCluster, size: int = 600) -> None:
    """Both models were asked; the cheap one is right as often as it says, the other always.

    The answer's confidence is twice too sure of itself.
    """
    rng = random.Random(1)
    choice = Choice((CHEAP, DEAR), arms=(CHEAP, DEAR), propensities=(1.0, 1.0))
    for at in range(size):
        sure = 0.5 + 0.5 * rng.random()
        cheap = json.dumps({"label": int(rng.random() < sure), "confidence": sure})
        answer = "1" if rng.random() < 0.45 else "0"
        record = record_of(
            at, choice, {CHEAP: cheap, DEAR: "1"}, "1", answer, confidence=0.8 + 0.2 * rng.random()
        )
        cluster.feedback.append(encode_record(record))


def test_policies_are_listed_with_their_options(run: Run, cluster: FakeCluster) -> None:
    cluster.policies = json.loads(msgspec.json.encode(describe_policies()))
    outcome = run("policy", "list")
    assert outcome.code == 0
    assert "exp3" in outcome.out
    assert "eta=0.05" in outcome.out
    assert json.loads(run("-o", "json", "policy", "list").out) == cluster.policies


def test_what_is_not_known_is_shown_as_such(run: Run) -> None:
    outcome = run("policy", "show", "shop")
    assert outcome.code == 0
    lines = [line.split("│") for line in outcome.out.splitlines() if "│" in line]
    table = {cells[1].strip(): cells[2].strip() for cells in lines}
    assert table["policy"] == "ensemble"
    assert table["options"] == "gamma=0.5"
    assert table["regret against it"] == "-"


def test_a_policy_is_shown_to_programs_as_it_is(run: Run, policy: dict[str, Any]) -> None:
    assert json.loads(run("-o", "json", "policy", "show", "shop").out) == policy


def test_replay_tells_what_another_policy_would_have_lost(run: Run, cluster: FakeCluster) -> None:
    records = one_at_a_time((0.8, 0.2), (0.5, 0.5), 400, 1)
    cluster.feedback = [encode_record(record) for record in records]
    arguments = ("replay", "shop", "--policy", "static", "--option", f"model={DEAR.name}")
    found = json.loads(run("-o", "json", *arguments).out)
    assert found["queries"] == 400
    assert found["doubly_robust"]["value"] == pytest.approx(0.2, abs=0.05)
    assert found["logged"]["value"] == pytest.approx(0.5, abs=0.06)
    assert found["cost_per_query"] == 8.0
    table = run(*arguments)
    assert table.code == 0
    assert "doubly robust" in table.out
    assert "b:1 100.0 %" in table.out


def test_replay_takes_the_newest_queries(run: Run, cluster: FakeCluster) -> None:
    records = all_at_once((1.0, 1.0), 100, 1) + all_at_once((0.0, 0.0), 50, 1)
    cluster.feedback = [encode_record(record) for record in records]
    outcome = run("-o", "json", "replay", "shop", "--policy", "static", "--count", "50")
    assert json.loads(outcome.out)["direct"]["value"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--policy", "nonsense"), "'nonsense'"),
        (("--policy", "exp3", "--option", "eta=-1"), "policy_options.eta"),
        (("--policy", "exp3", "--option", "eta"), "NAME=VALUE"),
    ],
)
def test_replay_refuses_bad_policies_before_it_asks(
    run: Run, cluster: FakeCluster, arguments: tuple[str, ...], said: str
) -> None:
    outcome = run("replay", "shop", *arguments)
    assert outcome.code == 1
    assert said in outcome.err
    assert "get_feedback_log" not in cluster.events


def test_a_log_of_another_version_is_refused(run: Run, cluster: FakeCluster) -> None:
    cluster.feedback = [b"\x93\x01\x02\x03"]
    outcome = run("replay", "shop", "--policy", "static")
    assert outcome.code == 1
    assert "same version" in outcome.err


def test_calibrations_are_compared(run: Run, cluster: FakeCluster) -> None:
    log_answers(cluster)
    found = json.loads(run("-o", "json", "calibrate", "shop").out)
    errors = {one["method"]: one["error"] for one in found["calibrations"]}
    assert (found["answers"], found["in_use"], found["min_confidence"]) == (600, "none", None)
    assert errors["none"] > 0.3
    assert max(errors["isotonic"], errors["platt"], errors["temperature"]) < errors["none"] / 2


def test_answers_of_another_policy_calibrate_nothing(
    run: Run, cluster: FakeCluster, policy: dict[str, Any]
) -> None:
    log_answers(cluster)
    policy["policy"] = "cascade"
    outcome = run("calibrate", "shop")
    assert outcome.code == 1
    assert "0 labelled answers of the policy 'cascade'" in outcome.err


def test_calibrate_suggests_when_the_default_is_better(run: Run, cluster: FakeCluster) -> None:
    log_answers(cluster)
    arguments = ("calibrate", "shop", "--cost-of-wrong", "10")
    found = json.loads(run("-o", "json", *arguments).out)["min_confidence"]
    assert found["best"]["cost"] <= min(found["never"]["cost"], found["always"]["cost"])
    shown = run(*arguments)
    assert "min_confidence of least cost" in shown.out
    assert f"apps update shop --min-confidence {found['best']['threshold']:.4g}" in shown.err


def test_calibrate_needs_answers_with_a_confidence(run: Run, cluster: FakeCluster) -> None:
    log_answers(cluster, 20)
    outcome = run("calibrate", "shop")
    assert outcome.code == 1
    assert "20 labelled answers" in outcome.err


def test_a_cascade_is_tuned(run: Run, cluster: FakeCluster) -> None:
    log_answers(cluster)
    arguments = ("cascade", "tune", "shop", "--target-accuracy", "0.9")
    found = json.loads(run("-o", "json", *arguments).out)
    assert found["options"]["order"] == [CHEAP.name, DEAR.name]  # by cost, not as linked
    assert found["judged_on"]["accuracy"] > 0.85
    assert found["judged_on"]["cost"] < 8.0
    outcome = run(*arguments, "--signal", "entropy")
    assert outcome.code == 0
    assert "entropy" in outcome.out
    assert f'policy_options: {{"order": ["{CHEAP.name}", "{DEAR.name}"]' in outcome.out


@pytest.mark.parametrize("signal", ["max-probability", "entropy"])
def test_the_command_that_puts_tuned_thresholds_in_force_is_shown(
    run: Run, cluster: FakeCluster, signal: str
) -> None:
    log_answers(cluster)
    run("apps", "add", "shop")
    arguments = ("cascade", "tune", "shop", "--target-accuracy", "0.9", "--signal", signal)
    tuned = json.loads(run("-o", "json", *arguments).out)["options"]
    _, _, command = run(*arguments).err.partition("To use it: clipper ")
    assert run(*shlex.split(command)).code == 0
    assert cluster.apps["shop"]["policy"] == "cascade"
    assert cluster.apps["shop"]["policy_options"] == tuned


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target-accuracy", "0.9", "--signal", "mood"), "--signal mood"),
        (("--target-accuracy", "0.9", "--order", "a"), "order: "),
        (("--target-accuracy", "1.2"), "cannot be reached"),
    ],
)
def test_a_cascade_that_cannot_be_is_refused(
    run: Run, cluster: FakeCluster, arguments: tuple[str, ...], said: str
) -> None:
    log_answers(cluster)
    outcome = run("cascade", "tune", "shop", *arguments)
    assert outcome.code == 1
    assert said in outcome.err


@pytest.mark.parametrize(
    "arguments", [("calibrate", "shop"), ("cascade", "tune", "shop", "--target-accuracy", "0.9")]
)
def test_diagrams_are_drawn(
    run: Run, cluster: FakeCluster, tmp_path: pathlib.Path, arguments: tuple[str, ...]
) -> None:
    pytest.importorskip("matplotlib")
    log_answers(cluster)
    target = tmp_path / "diagram.svg"
    outcome = run(*arguments, "--plot", str(target))
    assert outcome.code == 0
    assert "<svg" in target.read_text()
    assert str(target) in outcome.err
    outcome = run(*arguments, "--plot", str(tmp_path / "diagram.docx"))
    assert outcome.code == 1
    assert "docx" in outcome.err


def test_without_matplotlib_the_way_to_get_it_is_told(
    run: Run, cluster: FakeCluster, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    log_answers(cluster)
    outcome = run("calibrate", "shop", "--plot", str(tmp_path / "diagram.png"))
    assert outcome.code == 1
    assert "[plots]" in outcome.err


def test_client_methods_decode_the_log(run: Run, cluster: FakeCluster, connection: Any) -> None:
    cluster.feedback = [b"a", b"\xff\x00"]
    assert connection.get_feedback_log("shop", 5) == [b"a", b"\xff\x00"]
    cluster.refusals["get_policy"] = "No application with name 'x' exists."
    with pytest.raises(ClipperException, match="No application"):
        connection.get_policy("x")
