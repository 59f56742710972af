"""Which inputs a run sends, and what is made of wrk's report."""

from __future__ import annotations

import itertools

import pytest

from benchmarks import wrk
from benchmarks.load import numbers
from benchmarks.spec import Inputs, LoadSpec


def spec(**changes: object) -> LoadSpec:
    plain = {"host": "h", "port": 1, "path": "/a/predict", "values": [9.0, 2.0]}
    return LoadSpec(**{**plain, "connections": 4, "duration_s": 1.0, **changes})  # type: ignore[arg-type]


def test_inputs_are_the_same_or_all_different_or_drawn() -> None:
    def first(**changes: object) -> list[int]:
        return list(itertools.islice(numbers(spec(**changes)), 50))

    assert first() == [0] * 50
    assert first(inputs=Inputs.DISTINCT, first_number=7) == list(range(7, 57))
    drawn = first(inputs=Inputs.ZIPF, keys=3, first_number=7)
    assert set(drawn) == {7, 8, 9}


def test_wrk_is_left_out_where_answers_are_checked_or_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert wrk.can_do(spec())
    assert wrk.can_do(spec(inputs=Inputs.DISTINCT))
    refused = [{"verify": True}, {"inputs": Inputs.ZIPF}, {"use_wrk": False}]
    assert not any(wrk.can_do(spec(**changes)) for changes in refused)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not wrk.can_do(spec())


def test_only_a_run_that_asks_for_it_has_every_answer_read() -> None:
    assert "response =" in wrk.script(spec(inspect=True))
    assert "response =" not in wrk.script(spec())


def test_what_is_no_answer_or_a_default_or_late_is_no_goodput() -> None:
    figures = {
        "requests": 1000, "duration_us": 2_000_000, "failed": 100, "broken": 5, "defaults": 200,
        "within": 900, "samples": 1000, "mean": 1.0, "p50": 2.0, "p95": 3.0, "p99": 4.0, "max": 5.0,
    }  # fmt: skip
    summary = wrk._summary(figures, cpu_s=0.5)
    assert summary.throughput == 500
    assert summary.goodput == pytest.approx(700 * 0.9 / 2)
    assert (summary.errors, summary.defaults) == (105, 200)
    assert (summary.p99_s, summary.client_busy) == (4e-6, 0.25)
