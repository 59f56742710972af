"""The rules of the tiers, as a run of pytest shows them."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_TEST = "import pytest\n\n\ndef test_something() -> None:\n    pass\n"
_MARKED = "import pytest\n\n\n@pytest.mark.docker\ndef test_something() -> None:\n    pass\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite with a test in each tier, under the project's own conftest."""
    tests = tmp_path / "tests"
    tests.mkdir()
    for path in (_ROOT / "tests").glob("*.py"):
        shutil.copy(path, tests)
    shutil.copy(_ROOT / "pyproject.toml", tmp_path)
    for folder, text in {
        "unit": _TEST, "integration": _TEST, "e2e": _MARKED, "docker": _TEST, "frameworks": _TEST,
        "kubernetes": _TEST,
    }.items():  # fmt: skip
        (tests / folder).mkdir()
        (tests / folder / "test_it.py").write_text(text)
    return tmp_path


def run(
    suite: Path, *arguments: str, require: str = "", engine: str = "", **variables: str
) -> tuple[int, str]:
    """Run the suite where no engine or cluster answers and return exit status and output."""
    inherited = {name: value for name, value in os.environ.items() if "KUBE" not in name}
    environ = {**inherited, "PYTHONPATH": str(_ROOT), "CLIPPER_REQUIRE": require, **variables}
    environ["DOCKER_HOST"] = engine or f"unix://{suite}/nobody.sock"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=suite, env=environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return result.returncode, result.stdout + result.stderr


def counts(output: str) -> list[list[str]]:
    """Return the words of every line of the closing count."""
    lines = output.partition(" tests per tier ")[2].splitlines()[1:]
    told = itertools.takewhile(lambda line: "=" not in line, lines)
    return [line.split() for line in told if line]


def test_without_an_engine_its_tests_are_skipped_with_the_reason(suite: Path) -> None:
    status, output = run(suite, "-rs")

    assert status == 0, output
    assert "The Docker engine cannot be reached" in output
    assert counts(output) == [
        ["unit", "1", "passed"],
        ["integration", "1", "passed"],
        ["docker", "2", "skipped"],
        ["kubernetes", "1", "skipped"],
        ["frameworks", "1", "deselected"],
    ]
    assert "2 passed, 3 skipped, 1 deselected" in output


def test_a_required_tier_without_its_engine_fails(suite: Path) -> None:
    status, output = run(suite, require="docker")

    assert status == 1, output
    assert "CLIPPER_REQUIRE asks for Docker. The Docker engine cannot be reached" in output
    assert ["docker", "2", "failed"] in counts(output)
    assert ["unit", "1", "passed"] in counts(output)


def test_slow_tests_need_the_engine_too(suite: Path) -> None:
    slow = "import pytest\n\n\n@pytest.mark.slow\ndef test_something() -> None:\n    pass\n"
    (suite / "tests/docker/test_it.py").write_text(slow)
    status, output = run(suite, "-m", "slow", "-rs")

    assert status == 0, output
    assert ["docker", "slow", "1", "skipped"] in counts(output)
    assert "The Docker engine cannot be reached" in output


def test_large_frameworks_run_by_their_marker_or_their_path(suite: Path) -> None:
    for arguments in (["-m", "frameworks"], ["tests/frameworks"]):
        status, output = run(suite, *arguments)

        assert status == 0, output
        assert ["frameworks", "1", "passed"] in counts(output)


def test_a_requirement_that_nothing_is_called_ends_the_run(suite: Path) -> None:
    status, output = run(suite, require="dokcer")

    assert status == pytest.ExitCode.USAGE_ERROR
    assert "CLIPPER_REQUIRE names dokcer" in output
