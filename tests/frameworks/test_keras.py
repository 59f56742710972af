"""F3: Keras models, live and from files, on Docker."""

from __future__ import annotations

import pytest

from tests.frameworks.conftest import RunProgram
from tests.frameworks.verdict import assert_served, assert_unlinked

pytestmark = [pytest.mark.docker, pytest.mark.frameworks]


def test_objects_with_own_layers_and_files_answer_as_they_do_locally(
    run_program: RunProgram,
) -> None:
    report = run_program("keras", "keras")

    assert_unlinked(report["unlinked"])
    for check in ("v1", "v2", "v3", "endpoint"):
        assert_served(report[check], accuracy=0.9)
