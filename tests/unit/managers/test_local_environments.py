from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from clipper.errors import ClipperException
from clipper.managers import local_environments
from clipper.managers.local_environments import build_environment, check_requirements

NUMPY = importlib.metadata.version("numpy")


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        f"numpy=={NUMPY}",
        f"NumPy == {NUMPY}",
        f"numpy=={NUMPY.split('.')[0]}.*",
        "numpy>=0.1",
        "numpy[extra]; python_version > '3'",
        f"numpy=={NUMPY}.0",
        "prometheus_client",
    ],
)
def test_what_is_installed_is_accepted(line: str) -> None:
    check_requirements([line])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no-such-package", "is not installed"),
        ("numpy==0.1.*", "not 0.1"),
        ("numpy==0.1", "not 0.1"),
        ("git+https://example.org/x.git", "cannot be checked"),
        ("x @ https://example.org/x.whl", "cannot be checked"),
        ("", "cannot be checked"),
    ],
)
def test_what_is_not_names_the_remedy(line: str, reason: str) -> None:
    with pytest.raises(ClipperException, match=f"{reason}.*isolated_environments=True"):
        check_requirements(["numpy", line])


def test_a_failed_installation_shows_the_failing_lines_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def run(argv: list[str], failure: str) -> None:
        commands.append(argv)
        if "pip" in argv:
            raise ClipperException(failure)
        Path(argv[-1]).mkdir()

    monkeypatch.setattr(local_environments, "_run", run)
    for _ in range(2):
        with pytest.raises(ClipperException, match=r"sympy.*cannot be installed"):
            build_environment(tmp_path, "noop", ["sympy"])
    assert len(commands) == 4
    assert f"numpy=={NUMPY}" in commands[1]


def test_the_needs_of_the_framework_are_part_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def run(argv: list[str], failure: str) -> None:
        commands.append(argv)
        if "venv" in argv:
            home = Path(argv[-1])
            (home / "lib" / _python() / "site-packages").mkdir(parents=True)

    monkeypatch.setattr(local_environments, "_run", run)
    python = build_environment(tmp_path, "sklearn", ["sympy"])
    assert any(argument.startswith("scikit-learn") for argument in commands[1])
    assert build_environment(tmp_path, "sklearn", ["sympy"]) == python
    assert len(commands) == 2
    assert build_environment(tmp_path, "noop", ["sympy"]) != python
    packages = Path(python).parent.parent / "lib" / _python() / "site-packages"
    assert (packages / "clipper" / "errors.py").exists()
    assert (packages / "clipper_admin" / "metrics").exists()


def _python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"
