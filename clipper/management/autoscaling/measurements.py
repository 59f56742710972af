"""What frontends counted of a model version, and what two looks at that say of the time between.

Pure: texts and times come in as arguments.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping

from clipper.datatypes import VersionedModelId
from clipper.metrics import families
from clipper.metrics.reading import read_samples

_QUEUE_WAIT = families.QUEUE_WAIT.name
_FAMILIES = (
    families.CACHE_LOOKUPS,
    families.CACHE_BYPASSED,
    families.BATCH_SIZE,
    families.BATCH_SLOTS,
    families.MODEL_COMPUTE,
    families.DEADLINE_MISSES,
    families.QUEUE_WAIT,
)


@dataclasses.dataclass(slots=True)
class Counters:
    """What one frontend has counted of a model version since it started."""

    arrivals: float = 0.0
    """Queries that a replica had to compute: not in the cache, not equal to one in flight."""
    answered: float = 0.0
    """Queries in answered batches."""
    batches: float = 0.0
    slots: float = 0.0
    """Queries that the dispatched batches could have held."""
    busy_s: float = 0.0
    """Seconds that replicas computed, summed over them."""
    misses: float = 0.0
    """Queries answered too late, given up for lack of time, or turned away."""
    waits: list[float] = dataclasses.field(default_factory=list)
    """Queries by queue wait, in the buckets of `families.QUEUE_WAIT`, the last without bound."""


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """What happened to a model version, on all frontends together, in ``duration_s`` seconds."""

    duration_s: float
    arrivals: float = 0.0
    answered: float = 0.0
    batches: float = 0.0
    slots: float = 0.0
    busy_s: float = 0.0
    misses: float = 0.0
    waits: tuple[float, ...] = ()

    @property
    def arrival_rate(self) -> float:
        """Queries per second that needed a replica."""
        return self.arrivals / self.duration_s

    @property
    def answer_rate(self) -> float:
        """Queries per second that replicas answered."""
        return self.answered / self.duration_s

    @property
    def busy_replicas(self) -> float:
        """How many replicas computed, on average."""
        return self.busy_s / self.duration_s

    @property
    def cost_s(self) -> float | None:
        """Replica-seconds that one query took at these batch sizes; None: none was answered."""
        return self.busy_s / self.answered if self.answered else None

    @property
    def batch_size(self) -> float:
        """Mean queries of an answered batch; 0 without any."""
        return self.answered / self.batches if self.batches else 0.0

    @property
    def fullness(self) -> float:
        """Mean share, 0 to 1, of what batches were allowed to hold that they held."""
        return min(1.0, self.answered / self.slots) if self.slots else 1.0

    @property
    def waited(self) -> float:
        """Queries whose queue wait is known."""
        return sum(self.waits)

    def wait_s(self, share: float) -> float:
        """Return the queue wait that ``share`` (0 to 1) of the queries did not exceed; 0 of none.

        Waits are taken to lie evenly within their bucket; beyond the last bound it is that bound.
        """
        bounds = families.QUEUE_WAIT.bounds
        rank = share * self.waited
        below = 0.0
        for index, count in enumerate(self.waits[: len(bounds)]):
            if count and below + count >= rank:
                start = bounds[index - 1] if index else 0.0
                return start + (bounds[index] - start) * max(0.0, rank - below) / count
            below += count
        return bounds[-1] if self.waited else 0.0


def joined(windows: Iterable[Window]) -> Window:
    """Return consecutive windows as one."""
    found = list(windows)
    return Window(
        duration_s=sum(window.duration_s for window in found),
        arrivals=sum(window.arrivals for window in found),
        answered=sum(window.answered for window in found),
        batches=sum(window.batches for window in found),
        slots=sum(window.slots for window in found),
        busy_s=sum(window.busy_s for window in found),
        misses=sum(window.misses for window in found),
        waits=tuple(
            sum(counts)
            for counts in itertools.zip_longest(*(w.waits for w in found), fillvalue=0.0)
        ),
    )


def read_counters(text: str) -> dict[VersionedModelId, Counters]:
    """Return what a frontend's Prometheus text says of each model version.

    Raises:
        ValueError: the text is not in that format.
    """
    found: dict[VersionedModelId, Counters] = {}
    cumulative: dict[VersionedModelId, list[tuple[float, float]]] = {}
    for name, labels, value in read_samples(text, [family.name for family in _FAMILIES]):
        model = VersionedModelId(labels["model"], labels["version"])
        counters = found.setdefault(model, Counters())
        match name:
            case "clipper_cache_lookups_total" if labels["result"] == "miss":
                counters.arrivals += value
            case "clipper_cache_bypassed_total":
                counters.arrivals += value
            case "clipper_batch_size_sum":
                counters.answered = value
            case "clipper_batch_size_count":
                counters.batches = value
            case "clipper_batch_slots_total":
                counters.slots = value
            case "clipper_model_compute_seconds_sum":
                counters.busy_s = value
            case "clipper_deadline_misses_total":
                counters.misses = value
            case "clipper_queue_wait_seconds_bucket":
                bound = (float(labels["le"]), value)
                cumulative.setdefault(model, []).append(bound)
    for model, buckets in cumulative.items():
        totals = [total for _, total in sorted(buckets)]
        found[model].waits = [
            after - before for before, after in itertools.pairwise([0.0, *totals])
        ]
    return found


def window_between(
    duration_s: float,
    before: Mapping[str, Mapping[VersionedModelId, Counters]],
    after: Mapping[str, Mapping[VersionedModelId, Counters]],
    model: VersionedModelId,
) -> Window | None:
    """Return what happened to ``model`` between two looks at all frontends; None: unknown.

    It is unknown when a frontend of the second look was not there at the first, or has started
    afresh in between. One that has gone since the first look serves no more and does not count.

    Args:
        before: frontend → model version → its counters; likewise ``after``.
    """
    changes: list[Window] = []
    for frontend, shown in after.items():
        now, then = shown.get(model), before.get(frontend, {}).get(model)
        change = None if now is None or then is None else _change(duration_s, then, now)
        if change is None:
            return None
        changes.append(change)
    if not changes:
        return None
    return dataclasses.replace(joined(changes), duration_s=duration_s)


def _change(duration_s: float, then: Counters, now: Counters) -> Window | None:
    """Return the difference; None when a counter went back, as it does at a restart."""
    if len(then.waits) != len(now.waits):
        return None
    change = Window(
        duration_s=duration_s,
        arrivals=now.arrivals - then.arrivals,
        answered=now.answered - then.answered,
        batches=now.batches - then.batches,
        slots=now.slots - then.slots,
        busy_s=now.busy_s - then.busy_s,
        misses=now.misses - then.misses,
        waits=tuple(after - before for before, after in zip(then.waits, now.waits, strict=True)),
    )
    numbers = (
        *(change.arrivals, change.answered, change.batches),
        *(change.slots, change.busy_s, change.misses, *change.waits),
    )
    return change if all(0 <= number < math.inf for number in numbers) else None
