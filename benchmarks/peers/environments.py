"""A virtual environment for each rival, made once and kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.rivals import OURS

_REQUIREMENTS = Path(__file__).parent / "requirements"
_LAST_LINES = 5


class NotInstalledError(Exception):
    """A rival cannot be installed here; the text says why."""


def interpreter(name: str, directory: Path) -> Path:
    """Return the interpreter of a rival's environment, which is made if it is not there yet.

    Raises:
        NotInstalledError: pip failed; the text has its last lines.
    """
    if name == OURS:
        return Path(sys.executable)
    home = directory / "venvs" / name
    python = home / "bin" / "python"
    if _is_installed(name, directory):
        return python
    print(f"installing {name} into {home} (some minutes the first time)", flush=True)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    commands = [
        [sys.executable, "-m", "venv", str(home)],
        [*pip, "--requirement", str(_REQUIREMENTS / f"{name}.txt")],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:]
            raise NotInstalledError(f"{name} cannot be installed: " + "\n".join(said))
    _stamp(name, directory).write_text(_fingerprint(name))
    return python


def _stamp(name: str, directory: Path) -> Path:
    return directory / "venvs" / name / "installed"


def _is_installed(name: str, directory: Path) -> bool:
    stamp = _stamp(name, directory)
    return stamp.exists() and stamp.read_text() == _fingerprint(name)


def versions(name: str, directory: Path) -> dict[str, str]:
    """Return what a rival's environment has of the packages that its requirements name.

    Empty where it is not installed.
    """
    if name == OURS or not _is_installed(name, directory):
        return {}
    lines = "".join((_REQUIREMENTS / file).read_text() for file in (f"{name}.txt", "common.txt"))
    code = "import importlib.metadata as m, sys\nfor n in sys.argv[1:]: print(n, m.version(n))"
    names = [line.split("#")[0].strip() for line in lines.splitlines()]
    wanted = [_bare(line) for line in names if line and not line.startswith("-")]
    python = interpreter(name, directory)
    out = subprocess.run(
        [str(python), "-c", code, *wanted], capture_output=True, text=True, check=True
    )
    return dict(line.split() for line in out.stdout.splitlines())


def _bare(requirement: str) -> str:
    for mark in "[<>=~! ":
        requirement = requirement.partition(mark)[0]
    return requirement


def _fingerprint(name: str) -> str:
    texts = [(_REQUIREMENTS / file).read_bytes() for file in ("common.txt", f"{name}.txt")]
    return hashlib.sha256(b"".join(texts)).hexdigest()
