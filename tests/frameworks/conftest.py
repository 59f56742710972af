"""A cluster on Docker, and client programs that train, deploy and ask in environments of their own.

The pattern of spec §12.4. Programs find the cluster by its name, as any user's second process does.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clusters import DockerCluster, docker_cluster
from tests.frameworks.environments import client_python
from tests.stock import StockImages

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_PROGRAM_LIMIT_S = 1500.0

Report = dict[str, dict[str, Any]]
RunProgram = Callable[..., Report]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They need Docker, and longer than other tests: installing a framework takes minutes."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.frameworks)
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session")
def shared_cluster(stock_images: StockImages) -> Iterator[DockerCluster]:
    with docker_cluster(stock_images) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: DockerCluster) -> Iterator[DockerCluster]:
    """The cluster, empty before and after the test."""
    shared_cluster.clean()
    yield shared_cluster
    shared_cluster.clean()


@pytest.fixture
def run_program(cluster: DockerCluster, stock_images: StockImages) -> RunProgram:
    """Return ``run_program(family, program)``, which returns what the program reports."""

    def run(family: str, program: str) -> Report:
        stock_images.need(family)
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [client_python(family), "-m", f"tests.frameworks.programs.{program}",
             cluster.manager.cluster_name],
            capture_output=True, text=True, timeout=_PROGRAM_LIMIT_S, env=environment, cwd=_ROOT,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-12000:]}"
        report: Report = json.loads(done.stdout.splitlines()[-1])
        for name, check in report.items():
            print(f"{program} {name}: {_short(check)}")
        return report

    return run


def _short(check: dict[str, Any]) -> str:
    answers = len(check["statuses"])
    reasons = ", ".join(check["reasons"]) or "none"
    return (
        f"{answers} answers, {check['defaults']} defaults ({reasons}), "
        f"accuracy {check['accuracy']:.2f}"
    )
