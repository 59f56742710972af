"""F6, F7 and F8: Spark models of both APIs and pipelines on Docker."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.frameworks.conftest import RunProgram
from tests.frameworks.verdict import assert_served, assert_unlinked
from tests.tiers import required

pytestmark = [pytest.mark.docker, pytest.mark.frameworks]


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


def test_ml_models_answer_as_they_do_locally(run_program: RunProgram) -> None:
    report = run_program("pyspark", "pyspark_ml")

    assert_unlinked(report["unlinked"])
    for check in ("v1", "endpoint"):
        assert_served(report[check], accuracy=0.9)
