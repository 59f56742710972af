"""Python environments of local models: checking the shared one, building isolated ones."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import clipper
from clipper.artifacts import CONSTRAINTS_FILE, REQUIREMENTS_FILE
from clipper.errors import ClipperException
from clipper.managers.local_state import locked

CONTAINER_NEEDS = (
    "hpack>=4.0",
    "protobuf>=6.30",
    "numpy>=1.23.2",
    "cloudpickle>=3.0",
    "prometheus-client>=0.20",
    "msgspec>=0.18",
)
"""What `clipper.container` imports, with the bounds of our own package's metadata."""

_PICKLE_FORMAT = ("cloudpickle",)
"""Reads here what the same version wrote there."""

_FRAMEWORK_NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "sklearn": (("scikit-learn",), ("joblib",)),
    "pytorch": (("torch",),),
    "tensorflow": (("tensorflow", "tensorflow-cpu"),),
    "keras": (("keras",),),
    "xgboost": (("xgboost", "xgboost-cpu"),),
    "lightgbm": (("lightgbm",),),
    "onnx": (("onnxruntime", "onnxruntime-gpu"),),
    "pyspark": (("pyspark",),),
    "mxnet": (("mxnet",),),
}
"""What each framework's file imports: one distribution out of each tuple."""

_OWN_PACKAGES = ("clipper", "clipper_admin")
_BUILD_LIMIT_S = 1800.0
_READY_FILE = "clipper-ready"


def check_requirements(requirements: Sequence[str], constraints: Sequence[str] = ()) -> None:
    """Return if this environment has the requirements, and nothing against the constraints.

    Raises:
        ClipperException: one is missing; the text says how to get an environment that has it.
    """
    problems = [problem for line in requirements if (problem := _problem_with(line))]
    # A constraint says which version, not that there must be one.
    present = [line for line in constraints if _is_installed(line)]
    problems += [problem for line in present if (problem := _problem_with(line))]
    if problems:
        raise ClipperException(
            f"Models run in this Python environment, in which {'; '.join(problems)}. Install what "
            "is missing here, or use LocalContainerManager(isolated_environments=True) or "
            "`clipper up --isolated`, which gives the model an environment of its own."
        )


def listed_requirements(data: Path) -> list[str]:
    """Return the requirement lines that a deployer saved with the model, without comments."""
    return _listed(data / REQUIREMENTS_FILE)


def listed_constraints(data: Path) -> list[str]:
    """Return the constraint lines that a deployer saved with the model, without comments."""
    return _listed(data / CONSTRAINTS_FILE)


def _listed(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    stripped = (line.partition(" #")[0].strip() for line in lines)
    return [line for line in stripped if line and not line.startswith("#")]


def build_environment(
    environments: Path,
    framework: str,
    requirements: Sequence[str],
    constraints: Sequence[str] = (),
) -> str:
    """Return the interpreter of an environment with the requirements; builds it if absent.

    Besides them it gets what the container and its framework need; the framework at the version
    installed here, unless the requirements or constraints say otherwise.

    Raises:
        ClipperException: pip failed (with its last lines), or another build takes too long.
    """
    given = _names([*requirements, *constraints])
    needs = [
        _installed_one(alternatives)
        for alternatives in _FRAMEWORK_NEEDS.get(framework, ())
        if given.isdisjoint(alternatives)
    ]
    wanted = [*CONTAINER_NEEDS, *_pinned(needs), *requirements]
    limits = [*_pinned(name for name in _PICKLE_FORMAT if name not in given), *constraints]
    environments.mkdir(parents=True, exist_ok=True)
    home = environments / _environment_hash(wanted, limits)
    python = home / "bin" / "python"
    with locked(home.with_suffix(".lock"), _BUILD_LIMIT_S) as acquired:
        if not acquired:
            raise ClipperException(f"Another build of environment {home} does not end.")
        if not (home / _READY_FILE).exists():
            shutil.rmtree(home, ignore_errors=True)
            try:
                _build(home, python, wanted, limits)
            except BaseException:
                shutil.rmtree(home, ignore_errors=True)
                raise
    return str(python)


def _build(home: Path, python: Path, wanted: Sequence[str], limits: Sequence[str]) -> None:
    _run([sys.executable, "-m", "venv", str(home)], "An environment cannot be made")
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    with tempfile.NamedTemporaryFile("w", prefix="clipper-", suffix=".txt") as constraints:
        constraints.write("".join(f"{line}\n" for line in limits))
        constraints.flush()
        failure = f"Packages {', '.join(wanted)} cannot be installed"
        _run([*pip, "-c", constraints.name, *wanted], failure)
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
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_BUILD_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClipperException(f"{failure}: not done after {_BUILD_LIMIT_S:.0f} s.") from error
    if result.returncode != 0:
        raise ClipperException(f"{failure}:\n" + "\n".join(failing_lines(result.stdout)))


def failing_lines(output: str, limit: int = 15) -> list[str]:
    """Return the lines of pip's output that say why it failed: errors, and what conflicts."""
    lines = [line for line in output.splitlines() if line.strip()]
    failing = []
    conflict = False
    for line in lines:
        starts = "the conflict is caused by" in line.lower()
        conflict = starts or (conflict and line.startswith(" "))
        if conflict or "error" in line.lower():
            failing.append(line)
    return (failing or lines)[-limit:]


def _pinned(names: Iterable[str]) -> list[str]:
    pinned = []
    for name in names:
        installed = _installed_version(name)
        pinned.append(name if installed is None else f"{name}=={installed.partition('+')[0]}")
    return pinned


def _names(lines: Iterable[str]) -> set[str]:
    """Canonical names of requirement lines; those that are only a URL or path have none."""
    requirements = (_parsed(line) for line in lines)
    return {canonicalize_name(one.name) for one in requirements if one is not None}


def _installed_one(alternatives: Sequence[str]) -> str:
    installed = (name for name in alternatives if _installed_version(name) is not None)
    return next(installed, alternatives[0])


def _environment_hash(wanted: Sequence[str], limits: Sequence[str]) -> str:
    text = json.dumps(
        [sys.version, sys.executable, clipper.__file__, sorted(wanted), sorted(limits)]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _problem_with(line: str) -> str | None:
    requirement = _parsed(line)
    if requirement is None:
        return f"{line!r} cannot be checked"
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    installed = _installed_version(requirement.name) or _twin_version(requirement.name)
    if installed is None:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(installed, prereleases=True):
        return f"{requirement.name} is {installed}, not {requirement.specifier}"
    return None


def _is_installed(line: str) -> bool:
    requirement = _parsed(line)
    return requirement is not None and _installed_version(requirement.name) is not None


def _parsed(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _twin_version(name: str) -> str | None:
    """Version of what provides the module of this name instead, as xgboost-cpu does xgboost."""
    twins = importlib.metadata.packages_distributions().get(name.replace("-", "_"), ())
    return next((_installed_version(twin) for twin in twins), None)


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
