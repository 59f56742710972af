"""All metrics of one process: families by name, children by label values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator

from clipper.metrics.instruments import Counter, Gauge, Histogram, Meter
from clipper.metrics.parts import child_effort, join, portions
from clipper.metrics.snapshot import (
    Aggregate,
    Child,
    FamilySnapshot,
    HistogramValue,
    Kind,
    MeterValue,
    Snapshot,
    Value,
)

Instrument = Counter | Gauge | Histogram | Meter


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One metric: its Prometheus name (base unit in it), kind and labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    """The labels that name what can be deleted; its children go with it."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, ascending, without infinity."""
    aggregate: Aggregate = Aggregate.SUM
    """How the gauges of several workers become one."""
    exposed: bool = True
    """False: only for the JSON form; Prometheus has the same from other families."""


class MetricRegistry:
    """Creates instruments and takes snapshots of them.

    Args:
        clock: monotonic seconds, comparable between the processes of one machine.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._families: dict[str, Family] = {}
        self._children: dict[str, dict[tuple[str, ...], Instrument]] = {}

    def counter(self, family: Family, *labels: str) -> Counter:
        """Return the counter with these label values; the same one each time."""
        found = self._child(family, labels)
        assert isinstance(found, Counter)
        return found

    def gauge(self, family: Family, *labels: str) -> Gauge:
        """Return the gauge with these label values; the same one each time."""
        found = self._child(family, labels)
        assert isinstance(found, Gauge)
        return found

    def histogram(self, family: Family, *labels: str) -> Histogram:
        """Return the histogram with these label values; the same one each time."""
        found = self._child(family, labels)
        assert isinstance(found, Histogram)
        return found

    def meter(self, family: Family, *labels: str) -> Meter:
        """Return the meter with these label values; the same one each time."""
        found = self._child(family, labels)
        assert isinstance(found, Meter)
        return found

    def remove(self, **labels: str) -> None:
        """Forget every child that has all these label values, in whatever family."""
        wanted = set(labels.items())
        for name, family in self._families.items():
            children = self._children[name]
            for key in list(children):
                if wanted <= set(zip(family.labels, key, strict=True)):
                    del children[key]

    def snapshot(self) -> Snapshot:
        """Return what every instrument shows now, as JSON-able values."""
        return join(self.snapshot_parts())

    def snapshot_parts(self) -> Iterator[Snapshot]:
        """Yield what every instrument shows, part by part, each as of when it is asked for.

        Instruments may come and go meanwhile; what comes is in the next snapshot at the latest.
        """
        for portion in portions(self._listed()):
            now_s = self._clock()
            yield {
                "at_s": now_s,
                "families": {
                    family.name: _family_snapshot(family, self._shown(family, keys, now_s))
                    for family, keys in portion
                },
            }

    def _listed(self) -> Iterator[tuple[Family, list[tuple[str, ...]], int]]:
        for name, family in list(self._families.items()):
            # The keys alone: a list of pairs takes long where there are thousands.
            yield family, list(self._children[name]), child_effort(family.kind, family.bounds)

    def _shown(self, family: Family, keys: Iterable[tuple[str, ...]], now_s: float) -> list[Child]:
        children = self._children[family.name]
        return [(list(key), _value(children[key], now_s)) for key in keys if key in children]

    def _child(self, family: Family, labels: tuple[str, ...]) -> Instrument:
        if self._families.setdefault(family.name, family) != family:
            raise ValueError(f"{family.name} is declared twice, differently")
        if len(labels) != len(family.labels):
            raise ValueError(f"{family.name} has labels {family.labels}, not {labels}")
        children = self._children.setdefault(family.name, {})
        if labels not in children:
            children[labels] = self._make(family)
        return children[labels]

    def _make(self, family: Family) -> Instrument:
        match family.kind:
            case Kind.COUNTER:
                return Counter()
            case Kind.GAUGE:
                return Gauge()
            case Kind.HISTOGRAM:
                return Histogram(family.bounds)
            case Kind.METER:
                return Meter(self._clock())


def _family_snapshot(family: Family, children: list[Child]) -> FamilySnapshot:
    return FamilySnapshot(
        kind=family.kind.value,
        help=family.help,
        labels=list(family.labels),
        owner=list(family.owner),
        aggregate=family.aggregate.value,
        exposed=family.exposed,
        bounds=list(family.bounds),
        children=children,
    )


def _value(instrument: Instrument, now_s: float) -> Value:
    if isinstance(instrument, Histogram):
        instrument.settle()
        return HistogramValue(
            counts=list(instrument.counts),
            sum=instrument.sum,
            sum_squares=instrument.sum_squares,
            min=instrument.min if math.isfinite(instrument.min) else None,
            max=instrument.max if math.isfinite(instrument.max) else None,
        )
    if isinstance(instrument, Meter):
        instrument.tick(now_s)
        return MeterValue(
            count=instrument.count, since_s=instrument.since_s, rates=instrument.rates
        )
    return instrument.value
