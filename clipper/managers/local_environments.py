"""Python environments of local models: checking the shared one, building isolated ones."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import clipper
from clipper.artifacts import REQUIREMENTS_FILE
from clipper.errors import ClipperException
from clipper.managers.local_state import locked

_CONTAINER_NEEDS = ("grpcio", "protobuf", "numpy", "cloudpickle", "prometheus-client")
_OWN_PACKAGES = ("clipper", "clipper_admin")
_FRAMEWORK_NEEDS = {"sklearn": ("scikit-learn", "joblib")}
_BUILD_LIMIT_S = 1800.0
_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(.*)")
_READY_FILE = "clipper-ready"


def check_requirements(requirements: Sequence[str]) -> None:
    """Return if this environment has the requirements: present, and of the version after ``==``.

    Raises:
        ClipperException: one is missing; the text says how to get an environment that has it.
    """
    problems = [problem for line in requirements if (problem := _problem_with(line))]
    if problems:
        raise ClipperException(
            f"Models run in this Python environment, in which {'; '.join(problems)}. Install what "
            "is missing here, or use LocalContainerManager(isolated_environments=True) or "
            "`clipper up --isolated`, which gives the model an environment of its own."
        )


def listed_requirements(data: Path) -> list[str]:
    """Return the requirement lines that a deployer saved with the model, without comments."""
    try:
        lines = (data / REQUIREMENTS_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    stripped = (line.partition("#")[0].strip() for line in lines)
    return [line for line in stripped if line]


def build_environment(
    environments: Path, framework: str, requirements: Sequence[str]
) -> str:  # fmt: skip
    """Return the interpreter of an environment with the requirements; builds it if absent.

    Raises:
        ClipperException: pip failed (with its last lines), or another build takes too long.
    """
    needs = _pinned([*_CONTAINER_NEEDS, *_FRAMEWORK_NEEDS.get(framework, ())])
    wanted = [*needs, *requirements]
    environments.mkdir(parents=True, exist_ok=True)
    home = environments / _environment_hash(wanted)
    python = home / "bin" / "python"
    with locked(home.with_suffix(".lock"), _BUILD_LIMIT_S) as acquired:
        if not acquired:
            raise ClipperException(f"Another build of environment {home} does not end.")
        if not (home / _READY_FILE).exists():
            shutil.rmtree(home, ignore_errors=True)
            try:
                _build(home, python, wanted)
            except BaseException:
                shutil.rmtree(home, ignore_errors=True)
                raise
    return str(python)


def _build(home: Path, python: Path, wanted: Sequence[str]) -> None:
    _run([sys.executable, "-m", "venv", str(home)], "An environment cannot be made")
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    _run([*pip, *wanted], f"Packages {', '.join(wanted)} cannot be installed")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site_packages = home / "lib" / version / "site-packages"
    # Links to these packages alone: a path entry would bring their neighbours along.
    neighbours = Path(clipper.__file__).resolve().parent.parent
    for package in _OWN_PACKAGES:
        (site_packages / package).symlink_to(neighbours / package, target_is_directory=True)
    (home / _READY_FILE).touch()


def _run(argv: Sequence[str], failure: str) -> None:
    try:
        result = subprocess.run(
            argv, capture_output=True, text=True, timeout=_BUILD_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ClipperException(f"{failure}: not done after {_BUILD_LIMIT_S:.0f} s.") from error
    if result.returncode != 0:
        lines = (result.stdout + result.stderr).strip().splitlines()
        failing = [line for line in lines if "error" in line.lower()] or lines[-10:]
        raise ClipperException(f"{failure}:\n" + "\n".join(failing[-10:]))


def _pinned(names: Sequence[str]) -> list[str]:
    pinned = []
    for name in names:
        installed = _installed_version(name)
        pinned.append(name if installed is None else f"{name}=={installed}")
    return pinned


def _environment_hash(wanted: Sequence[str]) -> str:
    text = json.dumps([sys.version, sys.executable, clipper.__file__, sorted(wanted)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _problem_with(line: str) -> str | None:
    match = _REQUIREMENT.fullmatch(line.partition(";")[0].strip())
    if match is None or match[2].startswith("@") or "/" in line:
        return f"{line!r} cannot be checked"
    name, constraint = match.groups()
    installed = _installed_version(name)
    if installed is None:
        return f"{name} is not installed"
    exact = re.fullmatch(r"==\s*([^,\s]+)", constraint)
    if exact is not None and not _same_version(installed, exact[1]):
        return f"{name} is {installed}, not {exact[1]}"
    return None


def _same_version(installed: str, wanted: str) -> bool:
    if wanted.endswith(".*"):
        return f"{installed}.".startswith(wanted[:-1])
    return _without_zeros(installed) == _without_zeros(wanted)


def _without_zeros(version: str) -> str:
    return re.sub(r"(\.0)+$", "", version)


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
