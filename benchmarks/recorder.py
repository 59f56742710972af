"""What one run measured, and how it is summed up and saved.

Only answers within the objective that are not defaults count as goodput: a server that answers
everything late, or with the default, has none.
"""

from __future__ import annotations

import array
import csv
import dataclasses
import datetime
import json
import math
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
"""Where results go unless told otherwise; not under version control."""


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """One run of the load generator. Times in seconds, rates per second."""

    requests: int
    throughput: float
    goodput: float
    defaults: int
    errors: int
    """Answers with another status than 200, and broken connections."""
    wrong: int
    """Answers that were checked and found wrong."""
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float
    client_busy: float
    """Share of one processor that the load generator used: near 1 it is the bottleneck."""
    lag_p99_s: float
    """Open loop only: how late the generator itself was, free connection or not."""
    resent: int = 0
    """Requests sent once more because they crossed the close of a connection at rest. Not wrk's."""


class Recorder:
    """Collects the answers of one run. Cheap enough to be called for each of them."""

    def __init__(self, slo_s: float) -> None:
        self.latencies_s = array.array("d")
        self.defaults = 0
        self.errors = 0
        self.wrong = 0
        self.resent = 0
        self._missed = 0
        self._slo_s = slo_s

    def answered(self, latency_s: float, good: bool, default: bool) -> None:
        """Count one answer; ``good`` is status 200."""
        self.latencies_s.append(latency_s)
        if default:
            self.defaults += 1
        elif not good:
            self.errors += 1
        if default or not good or latency_s > self._slo_s:
            self._missed += 1

    def broken(self) -> None:
        """Count a query whose connection ended before its answer."""
        self.errors += 1

    def summary(
        self, duration_s: float, client_busy: float = 0.0, lags_s: Iterable[float] = ()
    ) -> Summary:
        """Sum up a run that lasted ``duration_s``."""
        ordered = sorted(self.latencies_s)
        return Summary(
            requests=len(ordered),
            throughput=len(ordered) / duration_s,
            goodput=(len(ordered) - self._missed) / duration_s,
            defaults=self.defaults,
            errors=self.errors,
            wrong=self.wrong,
            mean_s=math.fsum(ordered) / len(ordered) if ordered else math.nan,
            p50_s=percentile(ordered, 0.50),
            p95_s=percentile(ordered, 0.95),
            p99_s=percentile(ordered, 0.99),
            max_s=ordered[-1] if ordered else math.nan,
            client_busy=client_busy,
            lag_p99_s=percentile(sorted(lags_s), 0.99),
            resent=self.resent,
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of the values do not exceed; nan if none.

    A value that was measured, never one between two: interpolation hides the tail of short runs.
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_of(summaries: Sequence[Summary]) -> Summary:
    """Return the median of every figure over runs that were repeated; counts are added."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Summary):
        column = [getattr(summary, field.name) for summary in summaries]
        counted = field.name in ("requests", "defaults", "errors", "wrong", "resent")
        values[field.name] = sum(column) if counted else statistics.median(column)
    return Summary(**values)


def machine() -> dict[str, Any]:
    """Return what a result was measured on, and when."""
    return {
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def write_json(path: Path, document: object) -> None:
    """Write the document readably; missing figures become null, not the invalid NaN."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_without_nan(document), indent=1) + "\n", encoding="utf-8")


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write one line for each row, with the columns of the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value
