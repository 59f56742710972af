"""The autoscaler's decision and a simulated model version in one loop, with fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tests.fakes.scaled_plant import ScaledPlant

Load = Callable[[float], float]


def step(low: float, high: float, start_s: float = 60.0, end_s: float = 600.0) -> Load:
    return lambda now_s: high if start_s <= now_s < end_s else low


def single_queries(load: Load, **arguments: object) -> ScaledPlant:
    """One query takes 20 ms, and there are no batches: 50 queries per second and replica."""
    return ScaledPlant(load, each_s=0.02, **arguments)  # type: ignore[arg-type]


def large_batches(load: Load, **arguments: object) -> ScaledPlant:
    """A query alone takes 4.5 ms, in a batch of 60 half a millisecond: 222 or 1765 per second."""
    return ScaledPlant(load, fixed_s=0.004, each_s=0.0005, cap=60, **arguments)  # type: ignore[arg-type]


def hidden_cost(load: Load, **arguments: object) -> ScaledPlant:
    """A query takes 20 ms, of which compute seconds show one."""
    return ScaledPlant(load, each_s=0.001, hidden_s=0.019, cap=4, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("plant", "load", "most"),
    [
        (single_queries, step(20, 200), 7),
        (large_batches, step(1000, 6000), 7),
        (hidden_cost, step(20, 200), 9),
    ],
    ids=["single queries", "large batches", "hidden cost"],
)
def test_a_load_step_up_and_down_is_followed_without_flapping(
    plant: Callable[..., ScaledPlant], load: Load, most: int, seed: int
) -> None:
    simulated = plant(load, seed=seed)
    simulated.run(600.0)
    high = simulated.replicas
    assert simulated.needed() == 1 or 4 <= high <= most
    served = [share for at_s, share in simulated.missed.items() if 120 < at_s < 600]
    assert sum(served) / len(served) < 0.01
    simulated.run(1500.0)

    assert simulated.replicas == 1
    numbers = [replicas for _, replicas in simulated.history]
    peak = max(numbers)
    assert numbers[: numbers.index(peak) + 1] == sorted(numbers[: numbers.index(peak) + 1])
    down = numbers[numbers.index(peak) :]
    assert down == sorted(down, reverse=True)
    assert simulated.changes <= 12


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("plant", [single_queries, hidden_cost])
def test_a_steady_noisy_load_soon_keeps_its_number(
    plant: Callable[..., ScaledPlant], seed: int
) -> None:
    for rate in (30, 70, 105, 140, 175):
        simulated = plant(lambda _, rate=rate: float(rate), replicas=5, seed=seed)
        simulated.run(600.0)
        before = simulated.changes
        simulated.run(1400.0)
        assert simulated.changes - before <= 2, (rate, simulated.history)


def test_a_slow_wave_is_followed_and_replicas_never_fall_below_the_need() -> None:
    simulated = single_queries(
        lambda now_s: 150 + 120 * math.sin(now_s / 300), replicas=5, start_s=5.0
    )
    lowest: list[int] = []

    def check() -> None:
        lowest.append(simulated.replicas - simulated.needed())

    simulated.run(6000.0, check)
    assert min(lowest) >= 0
    assert simulated.changes <= 40
    assert max(replicas for _, replicas in simulated.history) <= 9


def test_a_burst_shorter_than_the_cool_down_changes_the_number_once() -> None:
    """Every 40 s five seconds of three times the load: no up and down with each."""
    simulated = single_queries(lambda now_s: 120.0 if now_s % 40 < 5 else 40.0, replicas=2)
    simulated.run(400.0)
    before = simulated.changes
    simulated.run(2000.0)
    assert simulated.changes - before <= 2, simulated.history


def test_replicas_that_do_not_start_are_not_multiplied() -> None:
    simulated = single_queries(step(20, 200), maximum=50)
    simulated.stuck = True
    simulated.run(590.0)
    assert simulated.replicas <= 7  # four are needed, at 70 %: six, and the noise


def test_nothing_happens_while_the_frontends_cannot_be_seen() -> None:
    simulated = single_queries(step(20, 200))
    simulated.run(50.0)
    simulated.blind = True
    simulated.run(300.0)
    assert simulated.changes == 0
    simulated.blind = False
    simulated.run(330.0)
    assert simulated.replicas >= 4
