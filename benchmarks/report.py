"""The ladder as tables for people."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


def show(
    console: Console, rows: list[Row], titles: Sequence[str], concurrencies: Sequence[int]
) -> None:
    """Print throughput with ratios, latency and cost of each line."""
    closed = {(row["title"], row["connections"]): row for row in rows if not row["rate"]}
    console.print(_ladder_table(closed, titles, concurrencies))
    for concurrency in concurrencies:
        console.print(_cost_table(closed, titles, concurrency))
    timed = [row for row in rows if row["rate"]]
    if timed:
        console.print(_latency_table(timed))


def ratios_to_line_above(throughputs: Sequence[float]) -> list[float]:
    """Return each line's throughput as a share of the line above; nan for the first."""
    pairs = itertools.pairwise(throughputs)
    return [math.nan, *(below / above if above else math.nan for above, below in pairs)]


def _ladder_table(
    closed: dict[tuple[str, int], Row], titles: Sequence[str], concurrencies: Sequence[int]
) -> Table:
    table = Table(title="Queries per second (and their ratio to the line above), closed loop")
    table.add_column("line", no_wrap=True)
    cells: dict[str, list[str]] = {title: [] for title in titles}
    for concurrency in concurrencies:
        table.add_column(f"{concurrency} conn.", justify="right")
        throughputs = [closed[title, concurrency]["throughput"] for title in titles]
        ratios = ratios_to_line_above(throughputs)
        for title, throughput, ratio in zip(titles, throughputs, ratios, strict=True):
            share = "" if math.isnan(ratio) else f"  ({ratio:.2f})"
            cells[title].append(f"{throughput:,.0f}{share}")
    for title in titles:
        table.add_row(title, *cells[title])
    return table


def _cost_table(
    closed: dict[tuple[str, int], Row], titles: Sequence[str], concurrency: int
) -> Table:
    table = Table(title=f"{concurrency} connection(s): latency, and what a query costs")
    table.add_column("line", no_wrap=True)
    for column in ("P50", "P99", "frontend CPU", "container CPU", "goodput", "defaults", "errors"):
        table.add_column(column, justify="right")
    table.add_column("client busy", justify="right")
    for title in titles:
        row = closed[title, concurrency]
        table.add_row(
            title,
            f"{row['p50_s'] * 1e3:.2f} ms",
            f"{row['p99_s'] * 1e3:.2f} ms",
            f"{row['frontend_s_per_query'] * 1e6:.1f} µs",
            f"{row['container_s_per_query'] * 1e6:.1f} µs",
            f"{row['goodput'] / row['throughput']:.1%}" if row["throughput"] else "",
            str(row["defaults"]),
            str(row["errors"]),
            f"{row['client_busy']:.0%}",
        )
    return table


def _latency_table(rows: list[Row]) -> Table:
    table = Table(title="Latency from the scheduled send time (open loop, Poisson)")
    table.add_column("line", no_wrap=True)
    for column in ("queries/s", "P50", "P95", "P99", "goodput", "client late, P99", "client busy"):
        table.add_column(column, justify="right")
    for row in rows:
        times = [f"{row[name] * 1e3:.2f} ms" for name in ("p50_s", "p95_s", "p99_s")]
        share = f"{row['goodput'] / row['throughput']:.1%}" if row["throughput"] else ""
        late = f"{row['lag_p99_s'] * 1e3:.2f} ms"
        busy = f"{row['client_busy']:.0%}"
        table.add_row(row["title"], f"{row['throughput']:,.0f}", *times, share, late, busy)
    return table
