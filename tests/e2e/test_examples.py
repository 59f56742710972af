"""The example scripts, written as for the original, on a local cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clipper.managers.local import LocalContainerManager
from tests.e2e.scripts import LOCAL, check_basic_query, running

pytestmark = [pytest.mark.local, pytest.mark.timeout(240)]


@pytest.fixture
def place(tmp_path: Path, free_port_factory: Callable[..., int]) -> Iterator[dict[str, Any]]:
    """Arguments of a manager of the test's own; whatever it runs ends with the test."""
    arguments = {
        "state_dir": str(tmp_path / "state"),
        "clipper_query_port": free_port_factory(),
        "clipper_management_port": free_port_factory(),
        "clipper_rpc_port": free_port_factory(),
    }
    yield arguments
    LocalContainerManager(**arguments).stop_all(graceful=False)


def test_quick_start(place: dict[str, Any]) -> None:
    for example, text in [
        ("start.py", f"Ask http://127.0.0.1:{place['clipper_query_port']}/hello-world/predict"),
        ("ask.py", "'output': 6.6, 'default': False"),
        ("stop.py", ""),
    ]:
        with running(f"quick_start/{example}", LOCAL, place) as script:
            assert text in script.ended()
    with running("quick_start/ask.py", LOCAL, place) as script:
        assert script.process.wait(60) == 1, "there is no cluster any more"


@pytest.mark.parametrize("words", [(), ("--batch",)])
def test_basic_query_until_ctrl_c(place: dict[str, Any], words: tuple[str, ...]) -> None:
    with running("basic_query/query.py", LOCAL, place, *words) as script:
        check_basic_query(script, least=2 if words else 1)


def test_spam_filter(place: dict[str, Any]) -> None:
    with running("user_defined_metric/spam.py", LOCAL, place) as script:
        output = script.ended()
    assert "spam: claim your free prize" in output
    assert "spam: you have won free money" in output
    assert "ham: see you at lunch" in output


@pytest.mark.parametrize(
    ("example", "accuracy"), [("sklearn_digits", 0.85), ("xgboost_digits", 0.85)]
)
def test_frameworks(place: dict[str, Any], example: str, accuracy: float) -> None:
    pytest.importorskip(example.partition("_")[0])
    with running(f"frameworks/{example}.py", LOCAL, place) as script:
        [(right, count)] = re.findall(r"accuracy ([\d.]+) of (\d+)", script.ended())
    assert float(right) > accuracy
    assert count == "297"
