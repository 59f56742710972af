"""From the text that frontends show to what happened between two looks at it."""

from __future__ import annotations

import dataclasses

import pytest

from clipper.datatypes import VersionedModelId
from clipper.management.autoscaling.costs import BatchCosts
from clipper.management.autoscaling.frontends import hosts
from clipper.management.autoscaling.measurements import (
    Counters,
    Window,
    joined,
    read_counters,
    window_between,
)
from clipper.metrics import FrontendMetrics, families, render_prometheus
from clipper.metrics.reading import read_samples
from clipper.store.base import WorkerLease

MODEL = VersionedModelId("m", "1")


@dataclasses.dataclass
class _Times:
    queue_s: float = 0.0
    compute_s: float = 0.25


def shown(rounds: int) -> str:
    """What a frontend shows after so many batches of two queries, and as many cache hits."""
    metrics = FrontendMetrics(lambda: 0.0, "1")
    model = metrics.model("m", "1")
    metrics.model('odd "name"', "1").cache_miss()
    metrics.application("a").answered(0.1)
    for _ in range(rounds):
        model.cache_hit()
        model.cache_miss()
        model.cache_bypassed()
        model.sent([0.004, 0.2], [0.1, 0.1], cap=8)
        model.answered(2, _Times(), 0.3)
        model.missed(1)
    return render_prometheus(metrics.snapshot()).decode()


def test_what_a_frontend_really_shows_is_read() -> None:
    found = read_counters(shown(3))
    assert set(found) == {MODEL, VersionedModelId('odd "name"', "1")}
    counters = found[MODEL]
    assert dataclasses.replace(counters, waits=[]) == Counters(
        arrivals=6, answered=6, batches=3, slots=24, busy_s=0.75, misses=3
    )
    assert len(counters.waits) == len(families.QUEUE_WAIT.bounds) + 1
    assert sum(counters.waits) == 6


def test_a_window_is_the_change_of_all_frontends() -> None:
    before = {"a": read_counters(shown(1)), "b": read_counters(shown(2))}
    after = {"a": read_counters(shown(5)), "b": read_counters(shown(2))}
    window = window_between(4.0, before, after, MODEL)
    assert window is not None
    assert window.arrival_rate == 2.0
    assert window.busy_replicas == pytest.approx(0.25)
    assert window.cost_s == pytest.approx(0.125)
    assert window.batch_size == 2.0
    assert window.fullness == 0.25
    assert window.misses == 4
    assert window.wait_s(0.5) == pytest.approx(0.005)
    assert 0.15 < window.wait_s(0.95) <= 0.25


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": 2}),
        ({"a": 1}, {"a": 2, "new": 1}),
        ({"a": 3}, {"a": 2}),
        ({"a": 1}, {}),
    ],
    ids=["first look", "a new frontend", "a frontend that started afresh", "none left"],
)
def test_an_incomplete_view_is_unknown(before: dict[str, int], after: dict[str, int]) -> None:
    looks = [
        {host: read_counters(shown(n)) for host, n in look.items()} for look in (before, after)
    ]
    assert window_between(5.0, looks[0], looks[1], MODEL) is None


def test_a_frontend_that_does_not_know_the_version_yet_makes_the_view_incomplete() -> None:
    look = {"a": read_counters(shown(1))}
    assert window_between(5.0, look, look, VersionedModelId("other", "1")) is None


def test_a_frontend_that_has_gone_does_not_count() -> None:
    before = {"a": read_counters(shown(1)), "gone": read_counters(shown(9))}
    window = window_between(5.0, before, {"a": read_counters(shown(2))}, MODEL)
    assert window is not None
    assert window.arrivals == 2


def test_text_that_is_no_metrics_is_refused() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        read_counters('clipper_batch_size_sum{model="m",version="1"} many')
    assert read_counters("<html>") == {}


def test_lines_of_other_families_are_not_looked_at() -> None:
    text = 'clipper_links{broken\nclipper_links_total 1\nclipper_queue_length{model="m"} 2\n'
    assert list(read_samples(text, ["clipper_queue_length"])) == [
        ("clipper_queue_length", {"model": "m"}, 2.0)
    ]


def test_windows_join() -> None:
    both = joined(
        [Window(5.0, arrivals=10, waits=(1.0, 2.0)), Window(10.0, arrivals=5, waits=(0.0, 1.0))]
    )
    assert (both.duration_s, both.arrival_rate, both.waits) == (15.0, 1.0, (1.0, 3.0))
    assert both.cost_s is None
    assert both.fullness == 1.0


def test_waits_beyond_every_bucket_are_as_long_as_the_last() -> None:
    beyond = (0.0,) * len(families.QUEUE_WAIT.bounds) + (3.0,)
    assert Window(5.0, waits=beyond).wait_s(0.5) == families.QUEUE_WAIT.bounds[-1]
    assert Window(5.0).wait_s(0.5) == 0.0


def test_each_host_is_asked_once() -> None:
    addresses = ["10.0.0.2:7000", "10.0.0.1:7001", "10.0.0.1:7000", "[fd00::1]:7000"]
    leases = [WorkerLease(f"w{i}", address, 1, 1) for i, address in enumerate(addresses)]
    assert hosts(leases) == ["10.0.0.1", "10.0.0.2", "[fd00::1]"]


def batches(size: float, count: float, cost_s: float) -> Window:
    return Window(5.0, answered=size * count, batches=count, busy_s=size * count * cost_s)


def test_the_cheapest_size_counts_while_it_is_remembered_and_known_well() -> None:
    costs = BatchCosts(memory_s=100.0)
    costs.observe(0.0, batches(20, 300, 0.001))
    costs.observe(5.0, batches(40, 10, 0.0001))  # ten batches are chance
    for at_s in (10.0, 90.0):
        costs.observe(at_s, batches(1, 300, 0.004))
    present = batches(1, 300, 0.004)
    assert costs.cheapest_s(95.0, present) == pytest.approx(0.001)
    assert costs.cheapest_s(105.0, present) == pytest.approx(0.004)


def test_a_cost_that_rises_is_learnt() -> None:
    costs = BatchCosts(memory_s=900.0)
    costs.observe(0.0, batches(1, 1000, 0.001))
    for tick in range(20):
        costs.observe(5.0 * tick, batches(1, 500, 0.004))
    assert costs.cheapest_s(100.0, batches(1, 500, 0.004)) == pytest.approx(0.004, rel=0.01)


def test_an_idle_version_costs_what_it_last_did() -> None:
    costs = BatchCosts(memory_s=900.0)
    assert costs.cheapest_s(0.0, Window(5.0)) == 0.0
    costs.observe(0.0, batches(1, 10, 0.002))
    assert costs.cheapest_s(5.0, Window(5.0)) == pytest.approx(0.002)


@pytest.mark.parametrize(("fixed_s", "each_s"), [(0.004, 0.0005), (0.0, 0.02), (0.05, 0.0)])
def test_the_least_cost_follows_from_two_sizes(fixed_s: float, each_s: float) -> None:
    def of(size: float, cap: float) -> Window:
        window = batches(size, 60, fixed_s / size + each_s)
        return dataclasses.replace(window, slots=cap * 60)

    costs = BatchCosts(memory_s=900.0)
    costs.observe(0.0, of(1, 400))
    assert costs.least_s(0.0, of(1, 400)) == pytest.approx((fixed_s + each_s) / 400)
    costs.observe(5.0, of(8, 400))
    least_s = max(each_s, (fixed_s + each_s) / 400)
    assert costs.least_s(5.0, of(1, 400)) == pytest.approx(least_s)
    assert costs.least_s(5.0, of(1, 1)) == pytest.approx(fixed_s + each_s)


def test_a_cost_that_grows_with_the_batch_is_not_taken_for_a_gain() -> None:
    costs = BatchCosts(memory_s=900.0)
    costs.observe(0.0, batches(1, 60, 0.01))
    costs.observe(5.0, batches(8, 60, 0.02))
    present = dataclasses.replace(batches(1, 60, 0.01), slots=60 * 10)
    assert costs.least_s(5.0, present) == pytest.approx(0.01)
