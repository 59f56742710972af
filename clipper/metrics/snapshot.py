"""What an instrument showed at one moment, as plain JSON-able values, and sums of those.

Snapshots travel between worker processes, so they carry their family's description with them.
Everything here is pure.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict, cast


class Kind(enum.StrEnum):
    """What an instrument is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    METER = "meter"


class Aggregate(enum.StrEnum):
    """What becomes of the gauges of several workers."""

    SUM = "sum"
    """Each worker has its own share, such as bytes cached."""
    MAX = "max"
    """All workers look at the same thing, such as the replicas of a model."""
    MIN = "min"
    """The cluster is as good as its worst worker, such as the configuration's revision."""


class HistogramValue(TypedDict):
    """One histogram; ``min`` and ``max`` are None when it is empty."""

    counts: list[int]
    sum: float
    sum_squares: float
    min: float | None
    max: float | None


class MeterValue(TypedDict):
    """One meter; ``rates`` is None when no tick has passed, or the worker is gone."""

    count: float
    since_s: float
    rates: list[float] | None


Value = float | HistogramValue | MeterValue
Child = tuple[list[str], Value]
"""Label values in the family's order, and what was shown (a list of two after JSON)."""


class FamilySnapshot(TypedDict):
    """All children of one metric family, with its description (see `registry.Family`)."""

    kind: str
    help: str
    labels: list[str]
    owner: list[str]
    aggregate: str
    exposed: bool
    bounds: list[float]
    children: list[Child]


class Snapshot(TypedDict):
    """All families at one moment of the machine's monotonic clock."""

    at_s: float
    families: dict[str, FamilySnapshot]


def empty_snapshot() -> Snapshot:
    """Return the snapshot that adds nothing to others."""
    return {"at_s": 0.0, "families": {}}


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return one snapshot of all workers: counts add, gauges as their family says.

    Raises:
        ValueError: two workers describe one histogram's buckets differently.
    """
    merged = empty_snapshot()
    found: dict[str, dict[tuple[str, ...], Value]] = {}
    for snapshot in snapshots:
        merged["at_s"] = max(merged["at_s"], snapshot["at_s"])
        for name, family in snapshot["families"].items():
            known = merged["families"].setdefault(name, {**family, "children": []})
            if known["bounds"] != family["bounds"]:
                raise ValueError(f"workers disagree about the buckets of {name}")
            add = _adder(family)
            values = found.setdefault(name, {})
            for labels, value in family["children"]:
                key = tuple(labels)
                values[key] = add(values[key], value) if key in values else value
    for name, family in merged["families"].items():
        family["children"] = [(list(labels), value) for labels, value in found[name].items()]
    return merged


def retain(snapshot: Snapshot) -> Snapshot:
    """Return what stays true of a worker that is gone: its counts, but not its gauges or rates."""
    families: dict[str, FamilySnapshot] = {}
    for name, family in snapshot["families"].items():
        if family["kind"] == Kind.GAUGE:
            continue
        children = family["children"]
        if family["kind"] == Kind.METER:
            children = [
                (labels, {**cast(MeterValue, value), "rates": None}) for labels, value in children
            ]
        families[name] = {**family, "children": children}
    return {"at_s": snapshot["at_s"], "families": families}


def keep_known(retained: Snapshot, live: Sequence[Snapshot]) -> Snapshot:
    """Return ``retained`` without what no live worker knows: deleted applications and models."""
    known = {owner for snapshot in live for owner in _owners(snapshot)}
    families: dict[str, FamilySnapshot] = {}
    for name, family in retained["families"].items():
        children = [
            child
            for child in family["children"]
            if not family["owner"] or _owner(family, child[0]) in known
        ]
        if children:
            families[name] = {**family, "children": children}
    return {"at_s": retained["at_s"], "families": families}


def _owners(snapshot: Snapshot) -> Iterable[tuple[tuple[str, str], ...]]:
    for family in snapshot["families"].values():
        if family["owner"]:
            for labels, _ in family["children"]:
                yield _owner(family, labels)


def _owner(family: FamilySnapshot, labels: list[str]) -> tuple[tuple[str, str], ...]:
    named = zip(family["labels"], labels, strict=True)
    return tuple((label, value) for label, value in named if label in family["owner"])


def _adder(family: FamilySnapshot) -> Callable[[Value, Value], Value]:
    return (
        _AGGREGATES[family["aggregate"]] if family["kind"] == Kind.GAUGE else _ADD[family["kind"]]
    )


def _add_numbers(left: Value, right: Value) -> Value:
    return cast(float, left) + cast(float, right)


def _add_histograms(left: Value, right: Value) -> Value:
    one, two = cast(HistogramValue, left), cast(HistogramValue, right)
    lows = [low for low in (one["min"], two["min"]) if low is not None]
    highs = [high for high in (one["max"], two["max"]) if high is not None]
    return HistogramValue(
        counts=[a + b for a, b in zip(one["counts"], two["counts"], strict=True)],
        sum=one["sum"] + two["sum"],
        sum_squares=one["sum_squares"] + two["sum_squares"],
        min=min(lows, default=None),
        max=max(highs, default=None),
    )


def _add_meters(left: Value, right: Value) -> Value:
    one, two = cast(MeterValue, left), cast(MeterValue, right)
    rates = one["rates"] or two["rates"]
    if one["rates"] and two["rates"]:
        rates = [a + b for a, b in zip(one["rates"], two["rates"], strict=True)]
    return MeterValue(
        count=one["count"] + two["count"],
        since_s=min(one["since_s"], two["since_s"]),
        rates=rates,
    )


_ADD: dict[str, Callable[[Value, Value], Value]] = {
    Kind.COUNTER: _add_numbers,
    Kind.HISTOGRAM: _add_histograms,
    Kind.METER: _add_meters,
}
_AGGREGATES: dict[str, Callable[[Value, Value], Value]] = {
    Aggregate.SUM: _add_numbers,
    Aggregate.MAX: lambda left, right: max(cast(float, left), cast(float, right)),
    Aggregate.MIN: lambda left, right: min(cast(float, left), cast(float, right)),
}
