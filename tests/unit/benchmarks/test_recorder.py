"""Figures of a run: percentiles, goodput, medians over rounds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.recorder import Recorder, median_of, percentile, write_csv, write_json


@given(
    st.lists(st.floats(0, 1e6), min_size=1),
    st.floats(0, 1),
)
def test_a_percentile_is_a_measured_value_that_enough_values_do_not_exceed(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9


def test_percentiles_of_a_hundred_values() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert math.isnan(percentile([], 0.5))


def test_goodput_leaves_out_what_is_late_a_default_or_an_error() -> None:
    recorder = Recorder(slo_s=0.1)
    recorder.answered(0.05, good=True, default=False)
    recorder.answered(0.1, good=True, default=False)
    recorder.answered(0.11, good=True, default=False)
    recorder.answered(0.01, good=True, default=True)
    recorder.answered(0.01, good=False, default=False)
    recorder.broken()
    summary = recorder.summary(duration_s=2.0)
    assert summary.throughput == 2.5
    assert summary.goodput == 1.0
    assert (summary.defaults, summary.errors) == (1, 2)


def test_a_default_with_an_error_status_counts_once() -> None:
    recorder = Recorder(slo_s=0.1)
    recorder.answered(0.01, good=False, default=True)
    summary = recorder.summary(duration_s=1.0)
    assert (summary.defaults, summary.errors, summary.goodput) == (1, 0, 0.0)


def test_medians_ignore_one_disturbed_round_but_keep_its_failures() -> None:
    summaries = []
    for latency_s, errors in ((0.01, 0), (0.02, 0), (9.0, 3)):
        recorder = Recorder(slo_s=0.1)
        recorder.answered(latency_s, good=True, default=False)
        for _ in range(errors):
            recorder.broken()
        summaries.append(recorder.summary(duration_s=1.0))
    middle = median_of(summaries)
    assert middle.p99_s == 0.02
    assert middle.errors == 3
    assert middle.requests == 3


def test_files_hold_every_figure_and_no_invalid_number(tmp_path: Path) -> None:
    rows = [{"line": "a", "p50_s": math.nan}, {"line": "b", "p50_s": 0.5}]
    write_json(tmp_path / "new" / "out.json", {"rows": rows})
    write_csv(tmp_path / "new" / "out.csv", rows)
    saved = json.loads((tmp_path / "new" / "out.json").read_text(), parse_constant=pytest.fail)
    assert saved["rows"] == [{"line": "a", "p50_s": None}, {"line": "b", "p50_s": 0.5}]
    assert (tmp_path / "new" / "out.csv").read_text().splitlines() == [
        "line,p50_s",
        "a,nan",
        "b,0.5",
    ]
