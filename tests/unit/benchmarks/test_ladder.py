"""Ratios and verdicts of the ladder."""

from __future__ import annotations

import argparse
import io
import math
from typing import Any

import pytest
from rich.console import Console

from benchmarks import ladder, report
from benchmarks.bars import REFERENCE_LINE, verdicts
from benchmarks.recorder import Recorder, Summary
from benchmarks.verdict import Verdict, at_least, at_most, between, not_measured, print_verdicts


def summary(throughput: float, latency_s: float = 0.001, defaults: int = 0) -> Summary:
    recorder = Recorder(slo_s=0.1)
    for number in range(1000):
        recorder.answered(latency_s, good=True, default=number < defaults)
    return recorder.summary(duration_s=1000 / throughput)


def found(runs: dict[tuple[str, int], Summary], part: str) -> list[Verdict]:
    return [verdict for verdict in verdicts(runs) if part in verdict.name]


def test_each_line_is_a_share_of_the_line_above() -> None:
    first, *others = report.ratios_to_line_above([100.0, 50.0, 0.0, 10.0])
    assert math.isnan(first)
    assert others[:2] == [0.5, 0.0]
    assert math.isnan(others[2])


def test_lines_are_judged_by_their_share_and_never_by_their_speed() -> None:
    slow = verdicts({("line", 32): summary(100), ("miss", 32): summary(71)})
    fast = verdicts({("line", 32): summary(1e6), ("miss", 32): summary(6.9e5)})
    assert [verdict.holds for verdict in slow] == [True]
    assert [verdict.holds for verdict in fast] == [False]


def test_only_what_was_measured_beside_the_line_is_judged() -> None:
    assert verdicts({("miss", 32): summary(100)}) == []
    runs = {("line", 8): summary(100), ("miss", 8): summary(100), ("miss", 128): summary(1)}
    assert verdicts(runs) == []


def test_a_hit_without_the_protocol_class_leaves_its_bar_open() -> None:
    runs = {("line", 32): summary(100), ("hit", 32): summary(80)}
    asgi, protocol = verdicts(runs)
    assert asgi.holds is True
    assert protocol.holds is None
    with_class = found({**runs, ("hit+", 32): summary(149)}, "protocol class")
    assert [(verdict.measured, verdict.holds) for verdict in with_class] == [(1.49, False)]


def test_with_one_connection_a_miss_is_judged_by_its_median_latency() -> None:
    runs = {("line", 1): summary(100, 0.001), ("miss", 1): summary(10, 0.011)}
    (verdict,) = verdicts(runs)
    assert verdict.measured == pytest.approx(11)
    assert verdict.holds is False


def test_the_original_is_scaled_by_what_the_line_does_here() -> None:
    half_speed = summary(REFERENCE_LINE[32] / 2)
    runs = {("line", 32): half_speed, ("line784", 32): half_speed}
    reached = found({**runs, ("logistic", 32): summary(6_800)}, "original")
    missed = found({**runs, ("logistic", 32): summary(6_700)}, "original")
    assert [verdict.holds for verdict in reached] == [True, True]
    assert [verdict.holds for verdict in missed] == [False, False]


def test_the_logistic_regression_must_keep_its_objective_too() -> None:
    late = {("logistic", 32): summary(100, latency_s=0.023, defaults=2)}
    good = {("logistic", 32): summary(100, latency_s=0.021, defaults=1)}
    assert [verdict.holds for verdict in verdicts(late)] == [False, False]
    assert [verdict.holds for verdict in verdicts(good)] == [True, True]


def test_nan_holds_nowhere() -> None:
    claims = [at_least("a", math.nan, 1), at_most("a", math.nan, 1), between("a", math.nan, 0, 1)]
    assert [claim.holds for claim in claims] == [False] * 3


def test_verdicts_are_printed_with_what_does_not_hold_standing_out() -> None:
    console = Console(file=io.StringIO(), width=150)
    claims = [
        at_least("good", 2.0, 1.0),
        at_most("bad", 2.0, 1.0),
        not_measured("open", "1", "why"),
    ]
    print_verdicts(console, claims)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    rows = {name: next(r for r in text.splitlines() if name in r) for name in ("good", "bad")}
    assert "yes" in rows["good"]
    assert "NO" in rows["bad"]
    assert "why" in text


def row(title: str, connections: int, throughput: float, rate: float = 0.0) -> dict[str, Any]:
    times = dict.fromkeys(("p50_s", "p95_s", "p99_s", "lag_p99_s"), 0.001)
    costs = dict.fromkeys(("frontend_s_per_query", "container_s_per_query"), 1e-5)
    return {
        "title": title,
        "connections": connections,
        "rate": rate,
        "throughput": throughput,
        "goodput": throughput,
        "defaults": 0,
        "errors": 0,
        "client_busy": 0.2,
        **times,
        **costs,
    }


def test_the_report_shows_every_line_with_its_ratio() -> None:
    rates = {"bare": 4000.0, "uvicorn": 2000.0, "hit": 1000.0, "miss": 500.0}
    rows = [row(name, 32, rate) for name, rate in rates.items()]
    rows += [row(name, 200, rate / 2, rate / 2) for name, rate in rates.items()]
    console = Console(file=io.StringIO(), width=150)
    report.show(console, rows, list(rates), [32])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(text.count(name) >= 3 for name in rates)
    assert "500  (0.50)" in text


def test_a_line_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["ladder", "--lines", "line,hit+", "--concurrency", "1,128"])
    options: argparse.Namespace = ladder.arguments()
    assert (options.lines, options.concurrency) == (["line", "hit+"], [1, 128])
    for wrong in ("nothing", "line+"):
        monkeypatch.setattr("sys.argv", ["ladder", "--lines", wrong])
        with pytest.raises(SystemExit):
            ladder.arguments()
