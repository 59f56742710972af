"""What counts as a failing process, in the same words for every manager."""

from __future__ import annotations

import pytest

from clipper.managers.deaths import explain_exit, last_error, so_far

ERROR = "2026-01-31T12:00:00.123Z ERROR container clipper.container: The model cannot be loaded"


def test_exit_statuses_in_words() -> None:
    assert explain_exit(1) == "exited with status 1"
    assert explain_exit(-9) == "was killed by signal 9"


@pytest.mark.parametrize(
    "line", ["ModuleNotFoundError: No module named 'x'", "ImportError: cannot import name 'y'"]
)
def test_status_three_means_a_missing_package_only_with_an_import_error(line: str) -> None:
    assert "pkgs_to_install" in explain_exit(3, f"Traceback (most recent call last):\n{line}\n")
    assert explain_exit(3, "the user's sys.exit(3)") == "exited with status 3"
    assert explain_exit(1, line) == "exited with status 1"


def test_numbers_of_deaths_in_words() -> None:
    assert [so_far(times) for times in (1, 2, 30)] == [
        "once so far", "2 times so far", "30 times so far",
    ]  # fmt: skip


def test_the_last_error_is_told_once() -> None:
    twice = f"{ERROR}\nKeyError: 1\n{ERROR}\nKeyError: 2"
    assert last_error(twice) == f"{ERROR}\nKeyError: 2"


def test_a_long_traceback_keeps_its_end() -> None:
    frames = [f"frame {i}" for i in range(30)]
    assert last_error("\n".join([ERROR, *frames])) == "\n".join(frames[-20:])
    assert last_error("") == ""
