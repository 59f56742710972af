"""Schedule of the open loop, ratios and verdicts of the ladder."""

from __future__ import annotations

import io
import itertools
import math
from typing import Any

from rich.console import Console

from benchmarks import report
from benchmarks.comparison import EXPECTED_MISS_SHARE, ratios_to_line_above, verdicts
from benchmarks.load import arrivals

NAMES = ["bare", "uvicorn", "hit", "miss"]


def test_arrivals_are_a_poisson_process_that_a_seed_repeats() -> None:
    moments = list(arrivals(rate=1000, duration_s=20, seed=1))
    assert moments == list(arrivals(rate=1000, duration_s=20, seed=1))
    assert moments != list(arrivals(rate=1000, duration_s=20, seed=2))
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert moments[-1] < 20
    assert abs(len(moments) - 20_000) < 5 * math.sqrt(20_000)
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert 0.95 < deviation / mean < 1.05  # exponential gaps: neither regular nor in bursts


def test_each_line_is_a_share_of_the_line_above() -> None:
    first, *others = ratios_to_line_above([100.0, 50.0, 0.0, 10.0])
    assert math.isnan(first)
    assert others[:2] == [0.5, 0.0]
    assert math.isnan(others[2])


def test_the_miss_is_judged_by_its_share_and_never_by_its_speed() -> None:
    slow = verdicts({32: 530.0}, {32: 500.0})
    fast = verdicts({32: 530_000.0}, {32: 250_000.0})
    assert [verdict.text for verdict in (*slow, *fast)] == ["at or above", "below"]


def test_only_concurrencies_with_an_expectation_and_a_measurement_are_judged() -> None:
    judged = verdicts({1: 10.0, 8: 10.0, 128: 0.0}, {1: 1.0, 8: 1.0, 128: 1.0})
    assert [verdict.concurrency for verdict in judged] == [1]
    assert 8 not in EXPECTED_MISS_SHARE


def row(line: str, connections: int, throughput: float, rate: float = 0.0) -> dict[str, Any]:
    times = dict.fromkeys(("p50_s", "p95_s", "p99_s", "lag_p99_s"), 0.001)
    costs = dict.fromkeys(("frontend_s_per_query", "container_s_per_query"), 1e-5)
    return {
        "line": line,
        "connections": connections,
        "rate": rate,
        "throughput": throughput,
        "goodput": throughput,
        "defaults": 0,
        "errors": 0,
        "client_busy": 0.95 if line == "uvicorn" else 0.2,
        **times,
        **costs,
    }


def test_the_report_shows_every_line_and_says_when_the_client_was_the_limit() -> None:
    rates = dict(zip(NAMES, (4000.0, 2000.0, 1000.0, 500.0), strict=True))
    rows = [row(name, 32, rate) for name, rate in rates.items()]
    rows += [row(name, 200, rate / 2, rate / 2) for name, rate in rates.items()]
    console = Console(file=io.StringIO(), width=150)
    report.show(console, rows, NAMES, [32])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(text.count(name) >= 3 for name in NAMES)
    assert "500  (0.50)" in text
    assert "0.25 of the uvicorn line, below the expected 0.94" in text
    assert "processor time alone a miss could reach 1.00" in text
    assert "the load generator limited the uvicorn line" in text
