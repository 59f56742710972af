"""What no server can do better than: checked against every schedule there is."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from benchmarks.simulation.arrivals import poisson
from benchmarks.simulation.cost import CostModel
from benchmarks.simulation.oracle import fewest_missed, missed_online
from benchmarks.simulation.quality import at_best, measure


def _orders(left: frozenset[int]) -> Iterator[list[tuple[int, ...]]]:
    """Yield every way to divide the queries into batches, one after the other."""
    if not left:
        yield []
    for size in range(1, len(left) + 1):
        for batch in itertools.combinations(sorted(left), size):
            for rest in _orders(left - set(batch)):
                yield [batch, *rest]


def _in_time(
    batches: list[tuple[int, ...]], arrivals_s: list[float], slo_s: float, model: CostModel
) -> bool:
    free_s = 0.0
    for batch in batches:
        free_s = max(free_s, *(arrivals_s[n] for n in batch), 0.0) + model.seconds(len(batch))
        if any(free_s > arrivals_s[n] + slo_s + 1e-9 for n in batch):
            return False
    return True


def _tried_out(arrivals_s: list[float], slo_s: float, model: CostModel) -> int:
    count = len(arrivals_s)
    for missed in range(count):
        for served in itertools.combinations(range(count), count - missed):
            if any(
                _in_time(order, arrivals_s, slo_s, model) for order in _orders(frozenset(served))
            ):
                return missed
    return count


@pytest.mark.parametrize("seed", range(12))
def test_the_best_schedule_is_the_best_of_all_schedules(seed: int) -> None:
    rng = random.Random(seed)
    model = CostModel(rng.uniform(0.5, 2.0), rng.uniform(0.2, 2.0))
    arrivals_s = sorted(rng.uniform(0.0, 6.0) for _ in range(5))

    assert fewest_missed(arrivals_s, 4.5, model) == _tried_out(arrivals_s, 4.5, model)


def test_queries_before_the_counted_ones_load_the_replica_and_cost_nothing() -> None:
    model = CostModel(1.0, 0.0)

    assert fewest_missed([0.0, 0.0, 0.0], 2.0, model) == 1
    assert fewest_missed([0.0, 0.0, 0.0], 2.0, model, counted_from=1) == 0


def test_who_does_not_know_the_future_misses_at_least_as_many() -> None:
    model = CostModel(0.001, 0.002)
    arrivals_s = list(poisson(570.0, 0.0, 4.0, 1))

    best = fewest_missed(arrivals_s, 0.010, model)
    online = missed_online(arrivals_s, 0.010, model)

    assert 0 < best <= online < len(arrivals_s) / 4


@pytest.mark.parametrize(
    ("slo_ms", "alpha_ms", "beta_ms"),
    [(10, 0.2, 2.0), (10, 1.0, 0.5), (10, 1.0, 2.0), (20, 1.0, 2.0)],
)
def test_where_the_bar_is_out_of_reach_we_are_near_what_can_be_done(
    slo_ms: float, alpha_ms: float, beta_ms: float
) -> None:
    slo_s, model = slo_ms / 1e3, CostModel(alpha_ms / 1e3, beta_ms / 1e3)

    best, online = at_best(slo_s, model, queries=4_000)
    ours = measure(slo_s, model, queries=4_000).default_share

    assert best > 0.01
    assert best <= ours <= 1.4 * online
