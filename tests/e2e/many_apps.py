"""Several applications, each with several versions of a model (I1 and I3 of spec §12.3)."""

from __future__ import annotations

import random
from pathlib import Path

from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import Cluster

PROBES = 25
SLO_MICROS = 100_000
ROUNDS = 5


def defaults_of_25(cluster: Cluster, app: str, numbers: random.Random) -> int:
    inputs = [[numbers.random() for _ in range(30)] for _ in range(PROBES)]
    return sum(cluster.predict(app, input=one)["default"] for one in inputs)


def serve_many_apps(cluster: Cluster, apps: int, versions: int, prefix: str = "testapp") -> None:
    """Register, deploy and link; after each version fewer than half of the answers are defaults."""
    connection = cluster.connection
    numbers = random.Random(1)
    for number in range(apps):
        app, model = f"{prefix}{number}", f"{prefix}{number}-model"
        connection.register_application(app, "doubles", "default_pred", SLO_MICROS)
        assert cluster.predict(app, input=[0.0] * 30)["default"] is True
        for version in range(versions):
            connection.deploy_model(model, version, "doubles", stock_image("noop-container"))
            if version == 0:
                connection.link_model_to_app(app, model)
            # Slow rounds are the machine's; a route to nowhere stays slow in all of them.
            counts = (defaults_of_25(cluster, app, numbers) for _ in range(ROUNDS))
            assert any(count < PROBES / 2 for count in counts)
            assert connection.get_current_model_version(model) == str(version)
    for number in range(apps):
        for version in range(versions):
            assert cluster.ready_replicas(f"{prefix}{number}-model", str(version)) == 1


def copied_logs(cluster: Cluster, directory: Path, least: int) -> list[Path]:
    """Return the files of the cluster's logs, at least so many."""
    logs = [Path(path) for path in cluster.connection.get_clipper_logs(str(directory))]
    assert len(logs) >= least
    assert all(path.is_file() for path in logs)
    return logs
