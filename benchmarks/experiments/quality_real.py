"""Batching quality with real models: a forest and an SVM at 95 % of what two batches allow.

The bar of `benchmarks.simulation.quality`, on a real cluster. What a batch costs is measured on the
container alone, by batch size, and corrected by what the same model took in the run before, beside
the frontend and the generator: they share processors and caches. From that follow the largest batch
b* with 2 · t(b*) ≤ SLO and the load, unless the processors cannot generate and carry so much.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import uvloop
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from benchmarks.cluster import Cluster, cluster
from benchmarks.direct import direct_replica, packed_rows
from benchmarks.models import digits_forest
from benchmarks.processes import LoadGenerator, load_generator
from benchmarks.publishing import Result, panels
from benchmarks.recorder import Summary, median_of
from benchmarks.simulation.arrivals import poisson
from benchmarks.simulation.cost import CostModel, fitted, rescaled
from benchmarks.simulation.oracle import fewest_missed
from benchmarks.simulation.quality import DEPTH, LATE_S, LOAD, MOST_DEFAULTS, OF_PAPER, SLOS_S
from benchmarks.verdict import Verdict, at_least, at_most, not_measured

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LONGEST_BATCH_S = 0.06
"""Larger batches are beyond the largest objective's b*."""
FIXED_SHARE = 0.2
"""Of the objective: cells in which a batch of any size takes longer are left out."""
CALIBRATION_LOAD = 0.7
REACH = 0.4
"""Share of a no-op model's highest rate that is offered at most: it used both processors, and a
real model needs one of them for itself."""
ROUNDS = 3
TRIES = 9
"""For so many rounds at the load that was meant: a run in which the machine turned out faster or
slower is not one."""
AT_LOAD = (LOAD - 0.03, LOAD + 0.02)
"""Of what was achievable by the costs of the same run."""
_BATCHES = 15
_PROBE_S = 2.0
_WARM_S = 2.0
_DURATION_S = 4.0
_CONNECTIONS = 1000
_PLANNED = 3_000
"""Queries of the schedule in hindsight."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Cell:
    """One model under one objective."""

    model: str
    slo_s: float
    cost: CostModel
    """As the container computed in these runs, beside the frontend and the generator."""
    rate: float
    limited: bool
    """The processors cannot carry 95 % of what is achievable."""
    mean_batch: float
    runs: int
    """How many it took to have `ROUNDS` at that load; the others are not in the figures."""
    summary: Summary
    hindsight: float
    """The share that any server must miss; nan where the bar holds and nobody asks."""

    @property
    def default_share(self) -> float:
        """Share of the queries that got the default or an error."""
        return (self.summary.defaults + self.summary.errors) / max(1, self.summary.requests)

    @property
    def load(self) -> float:
        """What was offered over what was achievable, as costs turned out to be."""
        return self.rate / self.cost.achievable(self.slo_s, DEPTH)

    @property
    def of_paper(self) -> float:
        """Goodput over the throughput of the largest batches that take one objective."""
        return self.summary.goodput / self.cost.achievable(self.slo_s, 1)


def run() -> Result:
    """Measure what batches cost, then every cell."""
    functions, values = _functions(), [float(value) for value in load_digits().data[0]]
    alone = {name: uvloop.run(_batch_costs(function)) for name, function in functions.items()}
    cells = []
    with cluster() as running, load_generator() as generator:
        reach = REACH * _highest(running, generator, values)
        for name, function in functions.items():
            for slo_s in SLOS_S:
                if alone[name].beta_s <= FIXED_SHARE * slo_s:
                    app = f"{name}-{slo_s * 1e3:g}"
                    running.deploy(app, function)
                    running.register(app, app, slo_s)
                    probe = _Probe(running, generator, app, slo_s, values)
                    cells.append(_cell(probe, name, slo_s, alone[name], reach))
                    running.connection.set_num_replicas(app, 0)
    figure, axes = panels(2)
    for name, axis in zip(functions, axes, strict=True):
        mine = [cell for cell in cells if cell.model == name]
        slos_ms = [cell.slo_s * 1e3 for cell in mine]
        axis.plot(slos_ms, [cell.summary.p99_s * 1e3 for cell in mine], "o-", label="P99")
        axis.plot(slos_ms, [cell.summary.p50_s * 1e3 for cell in mine], "o-", label="median")
        axis.plot(slos_ms, slos_ms, "r--", label="objective")
        axis.set(title=name, xlabel="objective, ms", ylabel="latency, ms", ylim=(0, None))
        axis.legend()
    notes = [
        *(
            f"{name} alone: {cost.beta_s * 1e3:.2f} ms + {cost.alpha_s * 1e6:.1f} µs per query"
            for name, cost in alone.items()
        ),
        f"at most {reach:.0f}/s are offered, {REACH:g} of a no-op model's highest rate",
        "the paper's AIMD: the largest batch that takes one objective, by the same line",
        f"medians of {ROUNDS} runs of {_DURATION_S:g} s, Poisson; defaults over all of them",
        f"runs at {AT_LOAD[0]:.0%} to {AT_LOAD[1]:.0%} of what their own costs allow",
    ]
    rows = [_row(cell) for cell in cells]
    verdicts = [verdict for cell in cells for verdict in _verdicts(cell)]
    return Result(
        "quality-real", "Batching quality with real models", rows, verdicts, figure, notes
    )


def _functions() -> dict[str, Callable[[Any], Any]]:
    def enlarged(batch: Any) -> np.ndarray[Any, Any]:
        """Return digits of 8 x 8 as images of 28 x 28: the model shall be the limit, not the wire.

        Generated inputs differ in their first value, which is the number of the request.
        """
        grey = np.minimum(np.asarray(batch), 16.0).reshape(-1, 8, 8)
        return np.kron(grey, np.ones((1, 4, 4)))[:, 2:30, 2:30].reshape(len(grey), -1)

    inputs, labels = load_digits(return_X_y=True)
    forest = digits_forest()
    svm = SVC().fit(enlarged(inputs), labels)
    return {
        "forest": lambda batch: forest.predict(batch),
        "svm": lambda batch: svm.predict(enlarged(batch)),
    }


async def _batch_costs(function: Callable[[Any], Any]) -> CostModel:
    """Time batches of every size, taking turns, in a container that nothing else disturbs."""
    packed = packed_rows(load_digits().data)
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    rows = itertools.cycle(packed)
    async with direct_replica(function) as replica:
        for _ in range(_BATCHES):
            for size in SIZES:
                if min(seconds[size], default=0.0) <= LONGEST_BATCH_S:
                    timed = await replica.send(list(itertools.islice(rows, size)))
                    seconds[size].append(timed.compute_s)
    sizes = [size for size in SIZES if min(seconds[size]) <= LONGEST_BATCH_S]
    medians = [statistics.median(seconds[size]) for size in sizes]
    return fitted(sizes, medians)


def _highest(running: Cluster, generator: LoadGenerator, values: list[float]) -> float:
    """Return what a no-op model answers in closed loop to the generator that open loops use."""
    running.deploy("no-op", lambda batch: [1.0] * len(batch))
    running.register("no-op", "no-op", max(SLOS_S))
    load = {"connections": 64, "use_wrk": False, "values": values}
    runs = [generator.run(running.load("no-op", _PROBE_S, **load)) for _ in range(2)]
    running.connection.set_num_replicas("no-op", 0)
    return runs[-1].throughput


@dataclasses.dataclass(frozen=True, slots=True)
class _Run:
    """One open loop of a cell."""

    rate: float
    limited: bool
    load: float
    totals: tuple[float, float, float]
    """Batches, queries and seconds computed."""
    summary: Summary

    @property
    def at_load(self) -> bool:
        """Whether the load was what it was meant to be, by the costs of this very run."""
        return self.limited or AT_LOAD[0] <= self.load <= AT_LOAD[1]


class _Probe:
    """Loads one application, and reads what its model says of the batches meanwhile."""

    def __init__(
        self,
        running: Cluster,
        generator: LoadGenerator,
        app: str,
        slo_s: float,
        values: list[float],
    ) -> None:
        self._running = running
        self._generator = generator
        self._app = app
        self._options = {"connections": _CONNECTIONS, "slo_s": slo_s, "values": values}

    def run(self, rate: float, duration_s: float, seed: int) -> Summary:
        """Do one open loop."""
        load = self._running.load(self._app, duration_s, rate=rate, seed=seed, **self._options)
        return self._generator.run(load)

    def totals(self) -> tuple[float, float, float]:
        """Return batches, queries and seconds computed so far."""
        batches = self._running.metric("clipper_batch_size_count", model=self._app)
        queries = self._running.metric("clipper_batch_size_sum", model=self._app)
        computed_s = self._running.metric("clipper_model_compute_seconds_sum", model=self._app)
        return batches, queries, computed_s

    def since(self, before: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return how much was added."""
        batches, queries, computed_s = self.totals()
        return batches - before[0], queries - before[1], computed_s - before[2]


def _cell(probe: _Probe, name: str, slo_s: float, alone: CostModel, reach: float) -> _Cell:
    """Load the model so that it shows its cost, then measure; each run plans the next."""
    before = probe.totals()
    probe.run(min(reach, CALIBRATION_LOAD * alone.achievable(slo_s, DEPTH)), _WARM_S, 0)
    planned = rescaled(alone, *probe.since(before))
    runs = []
    for seed in range(1, TRIES + 1):
        wanted = LOAD * planned.achievable(slo_s, DEPTH)
        rate = min(reach, wanted)
        before = probe.totals()
        summary = probe.run(rate, _DURATION_S, seed)
        seen = probe.since(before)
        planned = rescaled(planned, *seen)
        load = rate / planned.achievable(slo_s, DEPTH)
        runs.append(_Run(rate, reach < wanted, load, seen, summary))
        if sum(run.at_load for run in runs) == ROUNDS:
            break
    # Where the machine never held still, those that came nearest.
    kept = sorted(runs, key=lambda run: (not run.at_load, abs(run.load - LOAD)))[:ROUNDS]
    totals = [run.totals for run in kept]
    batches, queries, computed_s = (sum(each) for each in zip(*totals, strict=True))
    cell = _Cell(
        model=name,
        slo_s=slo_s,
        cost=rescaled(alone, batches, queries, computed_s),
        rate=statistics.mean(run.rate for run in kept),
        limited=any(run.limited for run in kept),
        mean_batch=queries / batches,
        runs=len(runs),
        summary=median_of([run.summary for run in kept]),
        hindsight=math.nan,
    )
    if cell.default_share <= MOST_DEFAULTS:
        return cell
    arrivals_s = list(poisson(cell.rate, 0.0, _PLANNED / cell.rate, 1))
    missed = fewest_missed(arrivals_s, slo_s, cell.cost) / len(arrivals_s)
    return dataclasses.replace(cell, hindsight=missed)


def _row(cell: _Cell) -> dict[str, Any]:
    return {
        "model": cell.model,
        "slo_ms": cell.slo_s * 1e3,
        "fixed_ms": cell.cost.beta_s * 1e3,
        "item_us": cell.cost.alpha_s * 1e6,
        "largest": cell.cost.largest(cell.slo_s / DEPTH),
        "achievable": cell.cost.achievable(cell.slo_s, DEPTH),
        "rate": cell.rate,
        "load": cell.load,
        "limited": cell.limited,
        "goodput": cell.summary.goodput,
        "of_paper": cell.of_paper,
        "p50_s": cell.summary.p50_s,
        "p99_s": cell.summary.p99_s,
        "default_share": cell.default_share,
        "no_server_below": cell.hindsight,
        "mean_batch": cell.mean_batch,
        "runs": cell.runs,
        "client_busy": cell.summary.client_busy,
        "lag_p99_s": cell.summary.lag_p99_s,
    }


def _verdicts(cell: _Cell) -> list[Verdict]:
    at = f"{cell.model}, SLO {cell.slo_s * 1e3:g} ms"
    late_ms = cell.summary.lag_p99_s * 1e3
    load = (
        f"{cell.rate:.0f}/s, {cell.load:.1%} of achievable; generator {late_ms:.1f} ms late (P99)"
    )
    missed = "" if math.isnan(cell.hindsight) else f"no server below {cell.hindsight:.2%}"
    found = [
        at_most(f"{at}: P99, ms", cell.summary.p99_s * 1e3, (cell.slo_s + LATE_S) * 1e3, load),
        at_most(f"{at}: share of defaults", cell.default_share, MOST_DEFAULTS, missed),
    ]
    claim = f"{at}: goodput / the paper's AIMD"
    if cell.limited:
        note = f"the processors carry {cell.load:.1%} of what is achievable"
        return [*found, not_measured(claim, f">= {OF_PAPER:g}", note)]
    return [*found, at_least(claim, cell.of_paper, OF_PAPER)]
