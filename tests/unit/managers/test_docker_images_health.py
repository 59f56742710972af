"""The health check of the frontends' image, which is a file of its own beside the Dockerfiles."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

_FILE = Path(__file__).resolve().parents[3] / "containers" / "frontend" / "health.py"


@pytest.fixture(scope="module")
def health() -> dict[str, Any]:
    return runpy.run_path(str(_FILE))


@pytest.mark.parametrize(
    ("command", "port", "path"),
    [
        ("python -m clipper.daemon query-frontend --host 0.0.0.0", 1337, "/readyz"),
        ("python -m clipper.daemon query-frontend --port 80", 80, "/readyz"),
        ("/sbin/docker-init -- python -m clipper.daemon management-frontend", 1338, "/readyz"),
        ("python -m clipper.daemon management-frontend --port=8081", 8081, "/readyz"),
        ("python -m clipper.daemon store --data-dir /data", 6379, ""),
        ("valkey-server *:6379", 6379, ""),
        ("valkey-server --bind 0.0.0.0 --port 7001", 7001, ""),
        ("python -m clipper.daemon query-frontend --port", 1337, "/readyz"),
    ],
)
def test_the_role_and_port_are_read_from_process_1(
    health: dict[str, Any], command: str, port: int, path: str
) -> None:
    assert health["probe"](command.split()) == (port, path)
