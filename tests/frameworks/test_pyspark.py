"""F6, F7 and F8: Spark models of both APIs and pipelines on Docker."""

from __future__ import annotations

import itertools
import os
import shutil

import pytest

from tests.e2e.clusters import DockerCluster, eventually
from tests.frameworks.conftest import RunProgram
from tests.frameworks.verdict import assert_served, assert_unlinked
from tests.tiers import required

pytestmark = [pytest.mark.docker, pytest.mark.frameworks]

_KILL_JAVA = """
import os, pathlib, signal
for name in pathlib.Path("/proc").glob("[0-9]*/comm"):
    if name.read_text().strip() == "java":
        os.kill(int(name.parent.name), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def java() -> None:
    """Training needs Java on this machine; serving has its own in the image."""
    if shutil.which("java") or os.environ.get("JAVA_HOME"):
        return
    reason = "Training with Spark needs Java 17 or newer (Debian: default-jre-headless)"
    if required(os.environ):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def test_mllib_models_answer_as_they_do_locally(run_program: RunProgram) -> None:
    report = run_program("pyspark", "pyspark_mllib")

    assert_unlinked(report["unlinked"])
    for check in ("v1", "v2", "v3", "v4", "endpoint"):
        assert_served(report[check], accuracy=0.8)


def test_pipelines_answer_json_as_they_do_locally(run_program: RunProgram) -> None:
    report = run_program("pyspark", "pyspark_pipeline")

    assert_unlinked(report["unlinked"])
    for check in ("v1", "endpoint"):
        assert_served(report[check], accuracy=0.95)


def test_ml_models_answer_as_they_do_locally_and_again_after_java_died(
    run_program: RunProgram, cluster: DockerCluster
) -> None:
    report = run_program("pyspark", "pyspark_ml")

    assert_unlinked(report["unlinked"])
    for check in ("v1", "endpoint"):
        assert_served(report[check], accuracy=0.9)

    (container,) = cluster.containers("model:easy-register-app-model:1")
    killed = container.exec_run(["python", "-c", _KILL_JAVA], user="root")
    assert killed.exit_code == 0, killed.output
    numbers = itertools.count()  # equal inputs would be answered from the cache

    def is_answered() -> bool:
        pixels = [next(numbers) % 256] * 784
        return not cluster.predict("easy-register-app-model", input=pixels)["default"]

    eventually(is_answered, "an answer of the container that was started again", timeout_s=300)
    container.reload()
    assert container.attrs["RestartCount"] >= 1
