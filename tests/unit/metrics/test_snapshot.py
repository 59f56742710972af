"""Sums of snapshots, and what outlives a worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clipper.frontend.metrics_hub import WorkerLedger
from clipper.metrics import Aggregate, Family, Kind, MetricRegistry, Snapshot, merge
from clipper.metrics.snapshot import keep_known, retain

COUNTER = Family("c_total", Kind.COUNTER, "", labels=("app",), owner=("app",))
PLAIN = Family("p_total", Kind.COUNTER, "")
HISTOGRAM = Family("h", Kind.HISTOGRAM, "", bounds=(1.0, 2.0))
METER = Family("m", Kind.METER, "")
GAUGES = {kind: Family(f"g_{kind.value}", Kind.GAUGE, "", aggregate=kind) for kind in Aggregate}


class _Worker:
    """A registry under a clock that the test sets."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s
        self.registry = MetricRegistry(lambda: self.now_s)

    def snapshot(self, now_s: float) -> Snapshot:
        """Return a snapshot as it arrives from another process."""
        self.now_s = now_s
        received: Snapshot = json.loads(json.dumps(self.registry.snapshot()))
        return received


def _values(snapshot: Snapshot, family: Family) -> dict[tuple[str, ...], Any]:
    found = snapshot["families"].get(family.name)
    return {tuple(labels): value for labels, value in found["children"]} if found else {}


def test_counts_add_and_labels_unite() -> None:
    one, two = _Worker(), _Worker()
    one.registry.counter(COUNTER, "a").inc(2)
    one.registry.counter(COUNTER, "b").inc(5)
    two.registry.counter(COUNTER, "a").inc(3)
    merged = merge([one.snapshot(7.0), two.snapshot(9.0)])
    assert _values(merged, COUNTER) == {("a",): 5, ("b",): 5}
    assert merged["at_s"] == 9.0


def test_histograms_add_as_if_one_had_seen_everything() -> None:
    one, two, both, empty = _Worker(), _Worker(), _Worker(), _Worker()
    empty.registry.histogram(HISTOGRAM)
    for worker, values in ((one, [0.5, 1.5]), (two, [1.25, 9.0])):
        worker.registry.histogram(HISTOGRAM).observe_many(values)
        both.registry.histogram(HISTOGRAM).observe_many(values)
    merged = merge([empty.snapshot(0), one.snapshot(0), two.snapshot(0)])
    assert _values(merged, HISTOGRAM) == _values(both.snapshot(0), HISTOGRAM)


def test_meters_add_and_measure_from_the_eldest() -> None:
    old, young = _Worker(0.0), _Worker(10.0)
    old.registry.meter(METER).mark(100)
    young.registry.meter(METER).mark(20)
    merged = merge([old.snapshot(5.0), young.snapshot(14.0)])
    # The young one has not ticked yet; its rate is unknown, not zero.
    assert _values(merged, METER) == {(): {"count": 120, "since_s": 0.0, "rates": [20.0] * 3}}
    merged = merge([old.snapshot(5.0), young.snapshot(15.0)])
    assert _values(merged, METER)[()]["rates"] == [24.0] * 3


def test_gauges_combine_as_their_family_says() -> None:
    one, two = _Worker(), _Worker()
    for family in GAUGES.values():
        one.registry.gauge(family).set(2)
        two.registry.gauge(family).set(3)
    merged = merge([one.snapshot(0), two.snapshot(0)])
    assert {kind: _values(merged, family)[()] for kind, family in GAUGES.items()} == {
        Aggregate.SUM: 5,
        Aggregate.MAX: 3,
        Aggregate.MIN: 2,
    }


def test_merging_is_pure_and_of_nothing_is_nothing() -> None:
    worker = _Worker()
    worker.registry.counter(COUNTER, "a").inc()
    worker.registry.histogram(HISTOGRAM).observe(1.0)
    snapshot = worker.snapshot(0)
    before = json.dumps(snapshot)
    merge([snapshot, snapshot])
    assert json.dumps(snapshot) == before
    assert merge([])["families"] == {}


def test_workers_that_disagree_about_buckets_are_not_added() -> None:
    one, two = _Worker(), _Worker()
    one.registry.histogram(HISTOGRAM)
    two.registry.histogram(Family("h", Kind.HISTOGRAM, "", bounds=(5.0,)))
    with pytest.raises(ValueError, match="disagree about the buckets of h"):
        merge([one.snapshot(0), two.snapshot(0)])


def test_a_dead_worker_leaves_its_counts_but_no_gauge_and_no_rate() -> None:
    worker = _Worker()
    worker.registry.counter(COUNTER, "a").inc(4)
    worker.registry.gauge(GAUGES[Aggregate.SUM]).set(9)
    worker.registry.meter(METER).mark(50)
    left = retain(worker.snapshot(5.0))
    assert _values(left, COUNTER) == {("a",): 4}
    assert _values(left, GAUGES[Aggregate.SUM]) == {}
    assert _values(left, METER) == {(): {"count": 50, "since_s": 0.0, "rates": None}}


def test_counts_of_what_was_deleted_go_with_it() -> None:
    dead, live = _Worker(), _Worker()
    for worker, apps in ((dead, "ab"), (live, "b")):
        worker.registry.counter(PLAIN).inc()
        for app in apps:
            worker.registry.counter(COUNTER, app).inc()
    left = keep_known(retain(dead.snapshot(0)), [live.snapshot(0)])
    assert _values(left, COUNTER) == {("b",): 1}
    assert _values(left, PLAIN) == {(): 1}


def test_the_ledger_never_counts_backwards_over_deaths() -> None:
    ledger, survivor = WorkerLedger(), _Worker()
    survivor.registry.counter(COUNTER, "a").inc(1)
    ledger.update(1, survivor.snapshot(0))
    seen = []
    for pid in (2, 3, 4):
        worker = _Worker()
        worker.registry.counter(COUNTER, "a").inc(10)
        ledger.update(pid, worker.snapshot(0))
        ledger.update(pid, worker.snapshot(1))
        seen.append(_values(ledger.merged(), COUNTER)[("a",)])
        ledger.bury(pid)
        ledger.bury(pid)
        seen.append(_values(ledger.merged(), COUNTER)[("a",)])
    assert seen == [11, 11, 21, 21, 31, 31]
