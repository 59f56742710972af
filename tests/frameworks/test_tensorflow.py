"""F2: TensorFlow models of every form on Docker."""

from __future__ import annotations

import pytest

from tests.frameworks.conftest import RunProgram
from tests.frameworks.verdict import assert_served, assert_unlinked

pytestmark = [pytest.mark.docker, pytest.mark.frameworks]


def test_sessions_checkpoints_and_saved_models_answer_as_they_do_locally(
    run_program: RunProgram,
) -> None:
    report = run_program("tf", "tensorflow")

    assert_unlinked(report["unlinked"])
    for check in ("v1", "v2", "v3", "v4", "endpoint"):
        assert_served(report[check], accuracy=0.9)
