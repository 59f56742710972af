"""Options of all commands stand before or after the command; programs read JSON everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from clipper.admin.connection import ClipperConnection
from clipper.cli.app import app
from clipper.cli.context import Context
from clipper.cli.modes import Mode
from tests.fakes.fake_management import FakeCluster
from tests.unit.cli.conftest import Run


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


EVERY_COMMAND = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", EVERY_COMMAND, ids=lambda path: " ".join(path) or "clipper")
def test_help_of_every_command_has_an_example_and_the_global_options(
    run: Run, path: tuple[str, ...]
) -> None:
    outcome = run(*path, "--help")
    assert outcome.code == 0
    assert re.search(r"Examples?: clipper", outcome.out)
    assert "--output" in outcome.out


@pytest.mark.parametrize("arguments", [("-o", "json", "apps"), ("apps", "-o", "json")])
def test_options_may_follow_the_command(run: Run, arguments: tuple[str, ...]) -> None:
    assert json.loads(run(*arguments).out) == []


def test_the_later_one_wins(run: Run, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPER_CLUSTER", "from-environment")
    run("--cluster", "before", "apps")
    assert context.choice.name == "before"
    run("--cluster", "before", "--mode", "local", "apps", "-c", "after", "--state-dir", "/s")
    assert (context.choice.name, context.choice.state_dir) == ("after", "/s")
    assert context.choice.mode is Mode.LOCAL
    run("apps")
    assert (context.choice.name, context.choice.state_dir) == ("from-environment", None)


def test_a_subcommand_of_a_group_takes_them_too(run: Run, connection: ClipperConnection) -> None:
    connection.register_application("a", "doubles", "-1", 1000)
    assert json.loads(run("apps", "show", "a", "-o", "json").out)["name"] == "a"


def test_failures_are_json_for_programs(run: Run, cluster: FakeCluster) -> None:
    cluster.running = False
    outcome = run("status", "-o", "json")
    assert (outcome.code, outcome.out) == (1, "")
    assert "is not running" in json.loads(outcome.err)["error"]


def test_notes_are_json_for_programs(run: Run, connection: ClipperConnection) -> None:
    connection.register_model("m", "1", "doubles")
    outcome = run("models", "use", "m", "1", "-o", "json")
    assert "clipper scale m 1" in json.loads(outcome.err)["note"]


def test_wrong_values_are_wrong_usage(run: Run) -> None:
    assert run("status", "-o", "yaml").code == 2
    assert run("status", "--nonsense").code == 2
