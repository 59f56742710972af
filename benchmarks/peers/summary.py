"""What the measured cells say: medians, ratios to Clipper, who is ahead."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.peers.cells import OBJECTIVES_MS, Cell, Figures
from benchmarks.peers.rival import CONCURRENCIES
from benchmarks.peers.rivals import OURS
from benchmarks.peers.workload import accelerator_s, largest_batch
from benchmarks.verdict import Verdict, at_least, not_measured

LEAST_ACCELERATOR_SHARE = 0.85

COLUMNS: tuple[tuple[str, int], ...] = (
    *(("closed", level) for level in CONCURRENCIES),
    *(("open", level) for level in OBJECTIVES_MS),
)
"""Kind and level of the loads, in the order of the tables."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One rival under one load of one workload: medians over the repetitions."""

    workload: str
    rival: str
    kind: str
    level: int
    repetitions: int
    rate: float
    lowest: float
    highest: float
    """Least and greatest rate of the repetitions."""
    p50_s: float
    p99_s: float
    errors: int
    """Over all repetitions."""
    cpu_s_per_answer: float
    client_busy: float
    ratio: float | None
    """Clipper's rate over this one; None when either is missing or this one is 0."""


Key = tuple[str, str, str, int]


def entries(figures: Mapping[Cell, Figures]) -> dict[Key, Entry]:
    """Sum the cells up, by workload, rival, kind and level."""
    grouped: dict[Key, list[Figures]] = {}
    for cell, measured in figures.items():
        key = (cell.workload, cell.rival, cell.kind, cell.level)
        grouped.setdefault(key, []).append(measured)
    rates = {key: _median(runs, "rate") for key, runs in grouped.items()}
    return {key: _entry(key, runs, rates) for key, runs in grouped.items()}


def _entry(key: Key, runs: Sequence[Figures], rates: Mapping[Key, float]) -> Entry:
    workload, _, kind, level = key
    ours = rates.get((workload, OURS, kind, level))
    return Entry(
        *key,
        repetitions=len(runs),
        rate=rates[key],
        lowest=min(run.rate for run in runs),
        highest=max(run.rate for run in runs),
        p50_s=_median(runs, "p50_s"),
        p99_s=_median(runs, "p99_s"),
        errors=sum(run.errors for run in runs),
        cpu_s_per_answer=_median(runs, "cpu_s_per_answer"),
        client_busy=_median(runs, "client_busy"),
        ratio=ours / rates[key] if ours is not None and rates[key] else None,
    )


def _median(runs: Sequence[Figures], name: str) -> float:
    return float(statistics.median(getattr(run, name) for run in runs))


def load_name(kind: str, level: int) -> str:
    """Return how a table calls a load."""
    return f"at {level}" if kind == "closed" else f"within {level} ms"


def verdicts(table: Mapping[Key, Entry]) -> list[Verdict]:
    """Judge every rival under every load, and the accelerator's share."""
    found = []
    for entry in table.values():
        if entry.rival == OURS:
            continue
        name = f"ahead of {entry.rival} on {entry.workload} {load_name(entry.kind, entry.level)}"
        ours = table.get((entry.workload, OURS, entry.kind, entry.level))
        if ours is None:
            found.append(not_measured(name, "> 1", "Clipper was not measured"))
            continue
        note = f"{ours.rate:,.0f}/s to {entry.rate:,.0f}/s, {entry.repetitions} repetition(s)"
        ratio = ours.rate / entry.rate if entry.rate else float("inf")
        ahead = ours.rate > entry.rate
        found.append(Verdict(name, ratio, "> 1", ahead, note))
    return [*found, *_accelerator_shares(table)]


def _accelerator_shares(table: Mapping[Key, Entry]) -> list[Verdict]:
    found = []
    for objective_ms in OBJECTIVES_MS:
        batch = largest_batch(objective_ms / 1000)
        possible = batch / accelerator_s(batch)
        name = f"share of the accelerator's {possible:,.0f}/s (batches of {batch}) within"
        name += f" {objective_ms} ms"
        keys = [("open", objective_ms)]
        if objective_ms == OBJECTIVES_MS[0]:
            # Closed loops run under this objective too.
            keys += [("closed", level) for level in CONCURRENCIES]
        ours = [table.get(("accelerator", OURS, kind, level)) for kind, level in keys]
        rates = [entry.rate for entry in ours if entry is not None]
        if rates:
            found.append(at_least(name, max(rates) / possible, LEAST_ACCELERATOR_SHARE))
        else:
            found.append(not_measured(name, f">= {LEAST_ACCELERATOR_SHARE}", "not measured"))
    return found
