"""The quality bar of batching, under the virtual clock: exact and the same on every machine.

The whole grid is `python -m benchmarks.simulation`; these are its tightest and its typical cells.
"""

from __future__ import annotations

import random

import pytest

from benchmarks.simulation import e03_optimum, e04_slowdown
from benchmarks.simulation.arrivals import poisson
from benchmarks.simulation.bench import Bench
from benchmarks.simulation.cost import CostModel, noisy, steady
from benchmarks.simulation.e03_optimum import SLO_S, saturated
from benchmarks.simulation.e16_overload import MODELS, overload
from benchmarks.simulation.quality import DEPTH, LATE_S, MOST_DEFAULTS, measure
from clipper.batching.aimd import AimdPolicy

QUERIES = 25_000


@pytest.mark.parametrize(
    ("slo_ms", "alpha_ms", "beta_ms"),
    [
        (10, 0.05, 0.5),
        (10, 0.05, 2.0),
        (20, 0.2, 2.0),
        (20, 0.05, 2.0),
        (50, 0.05, 8.0),
        (50, 0.2, 8.0),
        (100, 1.0, 8.0),
        (100, 0.05, 0.5),
    ],
)
def test_queries_are_in_time_at_95_percent_of_what_the_pipe_allows(
    slo_ms: float, alpha_ms: float, beta_ms: float
) -> None:
    slo_s, model = slo_ms / 1e3, CostModel(alpha_ms / 1e3, beta_ms / 1e3)

    outcome = measure(slo_s, model, queries=QUERIES)

    assert outcome.default_share <= MOST_DEFAULTS
    assert outcome.p99_s <= slo_s + LATE_S
    assert outcome.goodput >= 0.6 * model.achievable(slo_s, 1)


@pytest.mark.parametrize(
    ("slo_ms", "alpha_ms", "beta_ms", "load"),
    [(10, 0.2, 2.0, 0.80), (20, 1.0, 2.0, 0.75), (50, 1.0, 8.0, 0.85)],
)
def test_where_a_batch_holds_few_queries_chance_weighs_more_and_the_bar_holds_at_less_load(
    slo_ms: float, alpha_ms: float, beta_ms: float, load: float
) -> None:
    model = CostModel(alpha_ms / 1e3, beta_ms / 1e3)
    assert model.largest(slo_ms / 1e3 / DEPTH) < 20

    outcome = measure(slo_ms / 1e3, model, load, QUERIES)

    assert outcome.default_share <= MOST_DEFAULTS


@pytest.mark.parametrize("model", list(e03_optimum.cost_models()), ids=str)
def test_the_steady_cap_is_near_the_optimum_of_the_papers_objective(model: CostModel) -> None:
    best = model.largest(SLO_S)
    ramp = max(int(0.6 * best), e03_optimum.STEP)
    _, log = saturated(AimdPolicy(), steady(model), ramp + 60)
    steady_caps = log.caps[ramp:]

    assert abs(sum(steady_caps) / len(steady_caps) - best) <= max(0.1 * best, e03_optimum.STEP)


def test_after_a_threefold_slowdown_batches_are_in_time_within_15() -> None:
    row = e04_slowdown.slowdown("aimd", AimdPolicy(), until_s=13.0)

    assert row["late_batches"] <= 15


def test_a_lull_with_pauses_of_the_container_leaves_the_cap_alone() -> None:
    row = e04_slowdown.lull("aimd", AimdPolicy())

    assert row["cap_slow"] >= 0.8 * row["cap_before"]


@pytest.mark.parametrize("mix", ["one SLO", "mixed SLOs"])
@pytest.mark.parametrize("model", list(MODELS))
def test_goodput_does_not_fall_when_load_passes_capacity(model: str, mix: str) -> None:
    goodput = [overload(model, mix, "early", load, run_s=2.0)["goodput"] for load in (1.0, 1.6)]

    assert min(goodput) >= 0.95
    assert goodput[1] >= 0.9 * max(goodput)


def test_noise_and_pauses_of_the_container_do_not_turn_overload_into_a_collapse() -> None:
    model, slo_s = CostModel(0.0002, 0.008), 0.050
    capacity = model.achievable(slo_s, DEPTH)
    bench = Bench(slo_s)
    bench.replica(AimdPolicy(), noisy(model, 0.05, random.Random(1), hiccup_share=0.01))
    since_s, end_s = 4.0, 12.0
    bench.record.since_s = since_s
    bench.open_loop(poisson(1.4 * capacity, bench.clock.now(), end_s, 1), end_s + 1)

    assert bench.outcome(end_s).goodput >= 0.8 * capacity


def test_a_model_whose_fixed_cost_alone_takes_more_than_half_the_objective_is_served() -> None:
    """The original fell to batches of one and answered nearly everything with the default."""
    model, slo_s = CostModel(0.00002, 0.012), 0.020
    bench = Bench(slo_s)
    bench.replica(AimdPolicy(), steady(model))
    since_s, end_s = 3.0, 9.0
    bench.record.since_s = since_s
    bench.open_loop(poisson(4000.0, bench.clock.now(), end_s, 1), end_s + 1)
    outcome = bench.outcome(end_s)

    assert outcome.mean_batch >= 20
    assert outcome.goodput >= 0.4 * 4000.0
