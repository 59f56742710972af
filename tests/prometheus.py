"""A Prometheus for tests: Debian's as a process, and questions to any that runs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from clipper.managers.ports import free_port
from tests import tiers
from tests.e2e.clusters import eventually


@dataclasses.dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def get(self, path: str, **parameters: Any) -> requests.Response:
        return requests.get(f"{self.url}{path}", params=parameters, timeout=10)

    def ask(self, path: str, **parameters: Any) -> Any:
        """Return the data of an API call; fail with Prometheus's own words."""
        answer = self.get(f"/api/v1/{path}", **parameters).json()
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float | None:
        """Return the only sample's value; None: there is none yet."""
        found = self.query(expression)
        assert len(found) < 2, f"{expression}: {found}"
        return float(found[0]["value"][1]) if found else None

    def series(self, selector: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.ask("series", **{"match[]": selector})
        return found

    def targets(self) -> dict[str, str]:
        """Return address → health of the active targets."""
        return {
            target["labels"]["instance"]: target["health"]
            for target in self.ask("targets", state="active")["activeTargets"]
        }

    def is_ready(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return self.get("/-/ready").status_code == 200
        return False


def program(name: str) -> str:
    """Return the path of ``prometheus`` or ``promtool``; skip, or fail where it is required."""
    path = shutil.which(name)
    if path is None:
        problem = f"{name} is missing. On Debian: apt-get install prometheus"
        if tiers.required(os.environ):
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)
    return path


@contextlib.contextmanager
def prometheus_process(directory: Path, configuration: str) -> Iterator[Prometheus]:
    """Run Debian's Prometheus on a free port with this configuration, and end it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "prometheus.yml").write_text(configuration)
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus"),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
    ]
    log = directory / "prometheus.log"
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            prometheus = Prometheus(f"http://{address}")
            eventually(
                lambda: prometheus.is_ready() or process.poll() is not None,
                "Prometheus is ready",
            )
            assert process.poll() is None, log.read_text()
            yield prometheus
        finally:
            process.terminate()
