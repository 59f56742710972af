"""I1 of the interface spec §12.3: several applications, each with several versions of a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.clusters import DockerCluster
from tests.e2e.many_apps import copied_logs, serve_many_apps

APPS = 2
VERSIONS = 3


@pytest.mark.slow
def test_i1_many_apps_many_models(cluster: DockerCluster, tmp_path: Path) -> None:
    serve_many_apps(cluster, APPS, VERSIONS)

    for number in range(APPS):
        for version in range(VERSIONS):
            assert len(cluster.containers(f"model:testapp{number}-model:{version}")) == 1
    copied_logs(cluster, tmp_path, least=APPS * VERSIONS + 3)
