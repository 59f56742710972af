from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest

from clipper.errors import ClipperException
from clipper.managers import local_environments
from clipper.managers.local_environments import build_environment, check_requirements

ROOT = Path(__file__).parents[3]
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
        ("numpy==0.1.*", "not ==0.1"),
        ("numpy<0.1", "not <0.1"),
        ("git+https://example.org/x.git", "cannot be checked"),
        ("x @ https://example.org/x.whl", "x is not installed"),
        ("", "cannot be checked"),
    ],
)
def test_what_is_not_names_the_remedy(line: str, reason: str) -> None:
    with pytest.raises(ClipperException, match=f"{reason}.*isolated_environments=True"):
        check_requirements(["numpy", line])


def test_a_failed_installation_shows_the_failing_lines_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    limits: list[list[str]] = []

    def run(argv: list[str], failure: str) -> None:
        commands.append(argv)
        if "pip" in argv:
            limits.append(Path(argv[argv.index("-c") + 1]).read_text().splitlines())
            raise ClipperException(failure)
        Path(argv[-1]).mkdir()

    monkeypatch.setattr(local_environments, "_run", run)
    for _ in range(2):
        with pytest.raises(ClipperException, match=r"sympy.*cannot be installed"):
            build_environment(tmp_path, "noop", ["sympy"], [f"numpy=={NUMPY}"])
    assert len(commands) == 4
    cloudpickle = f"cloudpickle=={importlib.metadata.version('cloudpickle')}"
    assert limits == [[cloudpickle, f"numpy=={NUMPY}"]] * 2
    assert not Path(commands[1][commands[1].index("-c") + 1]).exists()


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
    assert build_environment(tmp_path, "sklearn", ["sympy"], ["numpy==1.26.0"]) != python
    packages = Path(python).parent.parent / "lib" / _python() / "site-packages"
    assert (packages / "clipper" / "errors.py").exists()
    assert (packages / "clipper_admin" / "metrics").exists()


def test_a_named_framework_is_not_installed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def run(argv: list[str], failure: str) -> None:
        commands.append(argv)
        if "venv" in argv:
            (Path(argv[-1]) / "lib" / _python() / "site-packages").mkdir(parents=True)

    monkeypatch.setattr(local_environments, "_run", run)
    build_environment(tmp_path, "xgboost", ["xgboost_cpu==3.0"])
    named = [argument for argument in commands[1] if argument.startswith("xgboost")]
    assert named == ["xgboost_cpu==3.0"]


def test_what_the_container_needs_has_the_bounds_of_our_own_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(local_environments.CONTAINER_NEEDS) <= set(project["dependencies"])


def test_constraints_bind_only_what_is_there() -> None:
    check_requirements(["numpy"], ["no-such-package==1", f"numpy=={NUMPY}"])
    with pytest.raises(ClipperException, match=r"numpy is .*, not ==0\.1"):
        check_requirements([], ["numpy==0.1"])


def test_the_reason_for_a_conflict_is_kept() -> None:
    output = """Collecting numpy==1.26
ERROR: Cannot install numpy==1.26 and numpy==2.0 because these have conflicting dependencies.

The conflict is caused by:
    The user requested numpy==1.26
    The user requested (constraint) numpy==2.0

To fix this you could try to:
ERROR: ResolutionImpossible
"""
    lines = local_environments.failing_lines(output)
    assert "    The user requested (constraint) numpy==2.0" in lines
    assert not any(line.startswith(("Collecting", "To fix")) for line in lines)


def _python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"
