"""Virtual environments for client programs: one framework each, at the versions of its image.

No environment can hold all frameworks, and training needs the same versions as serving. They are
kept between runs in ``CLIPPER_TEST_CACHE`` (default ``~/.cache/clipper-tests``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_COMPLETE = ".complete"
_INSTALL_LIMIT_S = 1200.0


def client_python(family: str) -> Path:
    """Return the interpreter of an environment with a family's pins and what Clipper needs."""
    requirements = [*_pins(family), *_clipper_dependencies()]
    names = {_name(line) for line in requirements if "==" in line}
    constraints = [line for line in _pins("base") if _name(line) not in names]
    text = "\n".join([sys.version, *requirements, "", *constraints])
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    directory = _cache() / f"{family}-{key}"
    if not (directory / _COMPLETE).exists():
        _make(directory, requirements, constraints)
    return directory / "bin" / "python"


def _cache() -> Path:
    given = os.environ.get("CLIPPER_TEST_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "clipper-tests"


def _pins(family: str) -> list[str]:
    lines = (_ROOT / "containers" / family / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _clipper_dependencies() -> list[str]:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


def _name(requirement: str) -> str:
    return requirement.partition("==")[0].strip().lower()


def _make(directory: Path, requirements: list[str], constraints: list[str]) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    _run(sys.executable, "-m", "venv", str(directory))
    (directory / "requirements.txt").write_text("\n".join(requirements))
    (directory / "constraints.txt").write_text("\n".join(constraints))
    _run(
        str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet",
        "--disable-pip-version-check", "-r", str(directory / "requirements.txt"),
        "-c", str(directory / "constraints.txt"),
    )  # fmt: skip
    (directory / _COMPLETE).touch()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
