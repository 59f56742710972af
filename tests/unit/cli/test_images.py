from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Run


def test_an_unknown_family_is_told_before_the_engine_is_asked(run: Run) -> None:
    outcome = run("images", "build", "cafe")
    assert outcome.code == 1
    assert "There is no image family cafe: use frontend, prometheus, base, noop" in outcome.err


@pytest.mark.parametrize(
    "command", [("build", "noop"), ("push", "noop"), ("pull", "noop"), ("list",)]
)
def test_a_python_without_images_is_told_before_the_engine_is_asked(
    run: Run, command: tuple[str, ...]
) -> None:
    outcome = run("images", *command, "--python", "3.9")
    assert outcome.code == 1
    assert "There are no images for Python 3.9, only for 3.11, 3.12, 3.13, 3.14" in outcome.err


def test_help_has_examples(run: Run) -> None:
    for command in ("build", "list", "push", "pull"):
        outcome = run("images", command, "--help")
        assert outcome.code == 0
        assert f"clipper images {command}" in outcome.out


def test_the_group_alone_shows_its_commands(run: Run) -> None:
    outcome = run("images")
    for command in ("build", "list", "push", "pull"):
        assert command in outcome.out
