"""LightGBM models on Docker."""

from __future__ import annotations

import pytest

from tests.frameworks.conftest import RunProgram
from tests.frameworks.verdict import assert_served, assert_unlinked

pytestmark = [pytest.mark.docker, pytest.mark.frameworks]


def test_estimators_and_boosters_answer_as_they_do_locally(run_program: RunProgram) -> None:
    report = run_program("lightgbm", "lightgbm")

    assert_unlinked(report["unlinked"])
    for check in ("v1", "v2", "endpoint"):
        assert_served(report[check], accuracy=0.9)
