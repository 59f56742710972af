"""I1 of the interface spec §12.3: several applications, each with several versions of a model."""

from __future__ import annotations

import random
from pathlib import Path

from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import DockerCluster

APPS = 2
VERSIONS = 3
PROBES = 25
SLO_MICROS = 100_000
ROUNDS = 5


def defaults_of_25(cluster: DockerCluster, app: str, numbers: random.Random) -> int:
    inputs = [[numbers.random() for _ in range(30)] for _ in range(PROBES)]
    return sum(cluster.predict(app, input=one)["default"] for one in inputs)


def test_i1_many_apps_many_models(cluster: DockerCluster, tmp_path: Path) -> None:
    connection = cluster.connection
    numbers = random.Random(1)
    for number in range(APPS):
        app, model = f"testapp{number}", f"testapp{number}-model"
        connection.register_application(app, "doubles", "default_pred", SLO_MICROS)
        assert cluster.predict(app, input=[0.0] * 30)["default"] is True
        for version in range(VERSIONS):
            connection.deploy_model(model, version, "doubles", stock_image("noop-container"))
            if version == 0:
                connection.link_model_to_app(app, model)
            # Slow rounds are the machine's; a route to nowhere stays slow in all of them.
            counts = (defaults_of_25(cluster, app, numbers) for _ in range(ROUNDS))
            assert any(count < PROBES / 2 for count in counts)
            assert connection.get_current_model_version(model) == str(version)

    for number in range(APPS):
        for version in range(VERSIONS):
            assert len(cluster.containers(f"model:testapp{number}-model:{version}")) == 1
    logs = [Path(path) for path in connection.get_clipper_logs(str(tmp_path))]
    assert len(logs) >= APPS * VERSIONS + 3
    assert all(path.is_file() for path in logs)
