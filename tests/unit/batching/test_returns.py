"""Waiting for clients who ask again as soon as they are answered."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from benchmarks.simulation.arrivals import poisson
from benchmarks.simulation.bench import Bench as Simulation
from benchmarks.simulation.bench import Outcome
from benchmarks.simulation.cost import CostModel, steady
from clipper.batching.fixed import FixedPolicy
from clipper.batching.returns import WINDOW_SHARE, Returns
from clipper.batching.task import PredictTask
from tests.unit.batching.support import Bench, inputs

FIXED_S, ITEM_S = 0.002, 0.00005
END_S = 10.0
COST = CostModel(ITEM_S, FIXED_S)


def answered(returns: Returns, rounds: int, back: int, of: int = 8) -> None:
    """Of so many answered, some come back within the window each time."""
    for _ in range(rounds):
        now_s = returns.answered_s + 1.0 if returns.answered_s > 0 else 1.0
        returns.answered(now_s, of, FIXED_S)
        for _ in range(back):
            returns.arrived()


def closed_loop(
    clients: int,
    back_s: Callable[[], float],
    cost: CostModel = COST,
    replicas: int = 1,
    slo_s: float = 0.1,
) -> Outcome:
    bench = Simulation(slo_s)
    bench.record.since_s = 1.0
    for _ in range(replicas):
        bench.replica(FixedPolicy(64), steady(cost), transfer_s=0.0001)
    bench.closed_loop(clients, back_s, END_S)
    return bench.outcome(END_S)


@pytest.mark.parametrize("clients", [2, 8, 32])
def test_clients_who_come_back_at_once_share_one_batch(clients: int) -> None:
    rng = random.Random(3)

    outcome = closed_loop(clients, lambda: rng.uniform(0.0002, 0.0008))

    assert outcome.mean_batch > 0.95 * clients
    two_batches_s = 2 * FIXED_S + clients * ITEM_S
    assert outcome.goodput > 1.15 * clients / two_batches_s
    assert outcome.default_share == 0.0


def test_a_lone_client_is_never_kept_waiting() -> None:
    outcome = closed_loop(1, lambda: 0.0005)

    assert outcome.p99_s < FIXED_S + ITEM_S + 0.0002 + 1e-6


def test_clients_who_take_longer_than_a_second_batch_costs_are_not_waited_for() -> None:
    rng = random.Random(3)

    outcome = closed_loop(8, lambda: rng.uniform(0.002, 0.006))

    assert outcome.busy > 0.85


def test_nothing_waits_where_a_batch_costs_hardly_more_than_its_queries() -> None:
    outcome = closed_loop(8, lambda: 0.0003, CostModel(0.0005, 0.0001))

    assert outcome.busy > 0.9


def test_one_of_several_replicas_waits_for_nobody() -> None:
    outcome = closed_loop(8, lambda: 0.0003, replicas=2)

    assert outcome.busy > 0.9


@pytest.mark.parametrize("load", [0.1, 0.3, 0.6])
def test_poisson_arrivals_are_not_taken_for_returns(load: float) -> None:
    """A query on an idle replica leaves at once, as it would if nobody looked for returns."""
    bench = Simulation(slo_s=0.1)
    bench.replica(FixedPolicy(64), steady(COST))
    bench.open_loop(poisson(load / FIXED_S, 0.0, END_S, 5), END_S)

    assert bench.queue.returns.wait_s == 0.0


def test_a_client_who_leaves_is_waited_for_once() -> None:
    returns = Returns()
    answered(returns, rounds=50, back=8)
    assert (returns.awaited, returns.complete) == (0, True)

    returns.answered(100.0, 8, FIXED_S)
    for _ in range(7):
        returns.arrived()
    assert (returns.awaited, returns.complete) == (1, False)

    returns.answered(101.0, 7, FIXED_S)
    for _ in range(7):
        returns.arrived()
    assert returns.complete
    assert returns.wait_s == WINDOW_SHARE * FIXED_S


def test_those_who_stop_coming_back_are_soon_not_waited_for() -> None:
    returns = Returns()
    answered(returns, rounds=50, back=8)
    answered(returns, rounds=4, back=0)

    assert returns.wait_s == 0.0


def test_nobody_is_waited_for_longer_than_a_share_of_the_objective() -> None:
    """Clients come back after half of what a batch costs, but the objective is short."""
    outcome = closed_loop(8, lambda: 0.025, CostModel(0.0001, 0.045), slo_s=0.2)

    assert outcome.mean_batch < 5


def test_answers_in_quick_succession_teach_nothing() -> None:
    returns = Returns()
    answered(returns, rounds=50, back=8)
    for number in range(20):
        returns.answered(100.0 + number * FIXED_S / 10, 8, FIXED_S)

    assert returns.wait_s > 0.0


def test_equal_batches_leave_what_was_known_of_the_fixed_cost() -> None:
    returns = Returns()
    answered(returns, rounds=50, back=8)
    returns.answered(100.0, 8, None)

    assert returns.wait_s == WINDOW_SHARE * FIXED_S


def answer_two_batches(compute_s: float) -> tuple[Bench, list[int]]:
    """Answer a, b and, in the same turn, c, d; e, f are read in the turn after.

    Returns the bench, and how many batches the replica had got before each output was handed out.
    """
    bench = Bench()
    replica = bench.replica(FixedPolicy(2))
    bench.train(replica, compute_s)
    answered(bench.queue.returns, rounds=50, back=8)
    for name in "abcd":
        bench.put(name)
    bench.clock.settle()
    assert inputs(replica)[-2:] == [["a", "b"], ["c", "d"]]
    sent: list[int] = []
    completed = bench.sink.completed

    def record(item: PredictTask, text: bytes) -> None:
        sent.append(len(replica.sent))
        completed(item, text)

    bench.sink.completed = record  # type: ignore[method-assign]
    bench.clock.advance(compute_s)
    before = len(replica.sent)
    replica.answer(-2)
    replica.answer(-1)
    for name in "ef":
        bench.put(name)
    bench.clock.settle()
    assert inputs(replica)[-1] == ["e", "f"]
    return bench, [number - before for number in sent]


def test_an_idle_model_gets_what_came_meanwhile_before_its_answers_are_handed_out() -> None:
    bench, batches_before = answer_two_batches(compute_s=0.01)
    assert batches_before == [0, 0, 1, 1]
    assert {b"a", b"b", b"c", b"d"} <= bench.sink.outputs.keys()


def test_answers_of_a_fast_model_are_handed_out_at_once() -> None:
    _, batches_before = answer_two_batches(compute_s=0.0001)
    assert batches_before == [0, 0, 0, 0]
