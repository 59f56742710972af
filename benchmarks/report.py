"""The ladder as tables for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import ratios_to_line_above, verdicts

_UVICORN, _MISS = 1, 3
_CLIENT_BOUND = 0.9

Row = dict[str, Any]


def show(
    console: Console, rows: list[Row], names: Sequence[str], concurrencies: Sequence[int]
) -> None:
    """Print throughput with ratios, cost and latency, and the verdict."""
    closed = {(row["line"], row["connections"]): row for row in rows if not row["rate"]}
    console.print(_ladder_table(closed, names, concurrencies))
    console.print(_cost_table(closed, names, 32))
    console.print(_latency_table([row for row in rows if row["rate"]]))
    for text in [*verdict_lines(closed, names), *cost_lines(closed, names, 32)]:
        console.print(text, soft_wrap=True)


def verdict_lines(closed: dict[tuple[str, int], Row], names: Sequence[str]) -> list[str]:
    """Return one sentence for each concurrency with an expectation."""
    uvicorn, miss = (
        {c: row["throughput"] for (name, c), row in closed.items() if name == names[index]}
        for index in (_UVICORN, _MISS)
    )
    lines = []
    for verdict in verdicts(uvicorn, miss):
        row = closed[names[_UVICORN], verdict.concurrency]
        note = ""
        if row["client_busy"] > _CLIENT_BOUND:
            note = " (the load generator limited the uvicorn line: it can do more)"
        lines.append(
            f"{verdict.concurrency:>3} connections: a miss reaches {verdict.ratio:.2f} of the "
            f"uvicorn line, {verdict.text} the expected {verdict.expected:.2f}{note}"
        )
    return lines


def cost_lines(
    closed: dict[tuple[str, int], Row], names: Sequence[str], concurrency: int
) -> list[str]:
    """Return how the frontend's processor time compares, which sharing processors distorts less."""
    uvicorn, miss = (
        closed[names[index], concurrency]["frontend_s_per_query"] for index in (_UVICORN, _MISS)
    )
    if not miss:
        return []
    return [
        f"{concurrency:>3} connections: by the frontend's processor time alone a miss could reach "
        f"{uvicorn / miss:.2f} of the uvicorn line"
    ]


def _ladder_table(
    closed: dict[tuple[str, int], Row], names: Sequence[str], concurrencies: Sequence[int]
) -> Table:
    table = Table(title="Queries per second (and their ratio to the line above), closed loop")
    table.add_column("line", no_wrap=True)
    cells: dict[str, list[str]] = {name: [] for name in names}
    for concurrency in concurrencies:
        table.add_column(f"{concurrency} conn.", justify="right")
        throughputs = [closed[name, concurrency]["throughput"] for name in names]
        ratios = ratios_to_line_above(throughputs)
        for name, throughput, ratio in zip(names, throughputs, ratios, strict=True):
            share = "" if math.isnan(ratio) else f"  ({ratio:.2f})"
            cells[name].append(f"{throughput:,.0f}{share}")
    for name in names:
        table.add_row(name, *cells[name])
    return table


def _cost_table(
    closed: dict[tuple[str, int], Row], names: Sequence[str], concurrency: int
) -> Table:
    table = Table(title=f"What a query costs with {concurrency} connections (closed loop)")
    table.add_column("line", no_wrap=True)
    for column in ("frontend CPU", "container CPU", "goodput", "defaults", "errors", "client busy"):
        table.add_column(column, justify="right")
    for name in names:
        row = closed[name, concurrency]
        table.add_row(
            name,
            f"{row['frontend_s_per_query'] * 1e6:.0f} µs",
            f"{row['container_s_per_query'] * 1e6:.0f} µs",
            f"{row['goodput'] / row['throughput']:.1%}" if row["throughput"] else "",
            str(row["defaults"]),
            str(row["errors"]),
            f"{row['client_busy']:.0%}",
        )
    return table


def _latency_table(rows: list[Row]) -> Table:
    table = Table(title="Latency from the scheduled send time (open loop)")
    table.add_column("line", no_wrap=True)
    for column in ("queries/s", "P50", "P95", "P99", "goodput", "client late, P99"):
        table.add_column(column, justify="right")
    for row in rows:
        times = [f"{row[name] * 1e3:.2f} ms" for name in ("p50_s", "p95_s", "p99_s")]
        share = f"{row['goodput'] / row['throughput']:.1%}" if row["throughput"] else ""
        late = f"{row['lag_p99_s'] * 1e3:.2f} ms"
        table.add_row(row["line"], f"{row['throughput']:,.0f}", *times, share, late)
    return table
