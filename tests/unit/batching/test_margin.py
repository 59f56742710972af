"""What is not promised to queries that compete for a place in a batch."""

from __future__ import annotations

import random

import pytest

from benchmarks.simulation.arrivals import poisson
from benchmarks.simulation.bench import Bench as Simulation
from benchmarks.simulation.cost import CostModel, noisy, steady
from clipper.batching.aimd import AimdPolicy
from clipper.batching.margin import Margin

COST = CostModel(0.00026, 0.0006)
SLO_S, END_S = 0.05, 12.0


@pytest.mark.parametrize("spread_s", [0.001, 0.004])
def test_it_settles_where_one_batch_in_eight_is_late(spread_s: float) -> None:
    rng = random.Random(5)
    margin = Margin()
    late = 0
    for number in range(4000):
        is_late = rng.gauss(0.0, spread_s) > margin.share * 0.010
        late += is_late and number >= 500
        margin.observe(is_late)

    assert 0.08 <= late / 3500 <= 0.17


def test_what_is_never_late_needs_hardly_a_margin() -> None:
    margin = Margin()
    for _ in range(300):
        margin.observe(late=False)

    assert margin.share == 0.002


@pytest.mark.parametrize("load", [1.1, 1.4])
def test_overload_of_a_model_that_varies_wastes_little_of_its_time(load: float) -> None:
    bench = Simulation(SLO_S)
    bench.record.since_s = 2.0
    log = bench.replica(AimdPolicy(), noisy(COST, 0.15, random.Random(3)), transfer_s=0.0002)

    bench.open_loop(poisson(load * COST.achievable(SLO_S, 2), 0.0, END_S, 5), END_S)

    finished = zip(log.batches, log.times_s, strict=True)
    computed = sum(batch.size for batch, at_s in finished if at_s >= bench.record.since_s)
    seconds = END_S - bench.record.since_s
    assert bench.outcome(END_S).goodput * seconds > 0.9 * computed


def test_without_competition_even_a_narrow_chance_is_taken() -> None:
    bench = Simulation(SLO_S)
    bench.replica(AimdPolicy(), steady(CostModel(0.0, 0.0495)))

    bench.open_loop([0.1 * number + 1.0 for number in range(50)], END_S)

    assert bench.outcome(END_S).default_share == 0.0
