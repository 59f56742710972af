"""Measures cells on a server that answers."""

from __future__ import annotations

import dataclasses

from benchmarks.arrivals import arrivals
from benchmarks.peers.cells import Cell, Figures
from benchmarks.peers.search import RateSearch
from benchmarks.peers.server import HOST, Server
from benchmarks.peers.workload import samples
from benchmarks.processes import LoadGenerator
from benchmarks.recorder import Summary
from benchmarks.spec import Inputs, LoadSpec
from benchmarks.wire import SLOT

IN_TIME_SHARE = 0.99
"""So many of the answers must be right in status and within the objective."""
_NEAR_SHARE = 0.5
_CHANCES = 2
"""A rate that fails with at least the share above is tried again: a stall of the machine fails any
server, and would bound the search from then on."""
_MOST_CONNECTIONS = 1000
"""Of an open loop: about the rate times the objective of the fastest server here."""
_NUMBERS_PER_RUN = 10_000_000
"""Distinct inputs are numbered; no run comes near this many."""
_MOST_RUNS = 1000
"""In one repetition."""
_WARM_UP_S = 5.0
_FIRST_FACTOR, _FIRST_PROBES = 1.5, 8
_LATER_FACTOR, _LATER_PROBES = 1.12, 8
"""Later repetitions know about where the answer lies."""
_FIRST_SHARE = 0.7
"""Of the closed loop's throughput: a first guess."""


class LoadFailedError(Exception):
    """A run came to nothing: the server went away, or answers what no HTTP client understands."""


class Meter:
    """Runs loads one after the other; no input ever comes twice, so that no cache can help."""

    def __init__(self, generator: LoadGenerator, duration_s: float, repetition: int) -> None:
        self._generator = generator
        self._duration_s = duration_s
        # Arrivals are the same for all rivals of a repetition, and others in the next.
        self._runs = repetition * _MOST_RUNS

    def warm_up(self, server: Server, workload: str) -> None:
        """Let a server compile, train its batcher, or whatever it does in its first seconds."""
        self._run(server, workload, server.rival.warm_up_connections, 1.0, 0.0, _WARM_UP_S)

    def closed(self, server: Server, cell: Cell) -> Figures:
        """Return right answers per second with as many connections as the cell says."""
        summary, cpu_s = self._run(server, cell.workload, cell.level, 1.0, 0.0, self._duration_s)
        right = max(0, summary.requests - summary.errors)
        return Figures(
            rate=summary.throughput * right / max(1, summary.requests),
            p50_s=summary.p50_s,
            p99_s=summary.p99_s,
            errors=summary.errors,
            cpu_s_per_answer=cpu_s / max(1, right),
            client_busy=summary.client_busy,
            duration_s=self._duration_s,
        )

    def open(self, server: Server, cell: Cell, closed_rate: float, known_rate: float) -> Figures:
        """Look for the highest Poisson rate with enough answers within the cell's objective.

        Args:
            closed_rate: the most this server did in a closed loop, for a first guess.
            known_rate: the most that an earlier repetition found, 0 if there was none.
        """
        if known_rate:
            search = RateSearch(known_rate, _LATER_FACTOR, _LATER_PROBES)
        else:
            search = RateSearch(closed_rate * _FIRST_SHARE, _FIRST_FACTOR, _FIRST_PROBES)
        objective_s = cell.level / 1000
        tries: list[dict[str, float]] = []
        best: tuple[Summary, float] | None = None
        while (rate := search.next_rate()) is not None:
            connections = min(_MOST_CONNECTIONS, max(32, round(2 * rate * objective_s)))
            for _ in range(_CHANCES):
                summary, cpu_s = self._run(
                    server, cell.workload, connections, objective_s, rate, self._duration_s
                )
                share = self._in_time(summary, rate)
                tries.append({"rate": rate, "share": share, "lag_p99_s": summary.lag_p99_s})
                if not _NEAR_SHARE <= share < IN_TIME_SHARE:
                    break
            passed = share >= IN_TIME_SHARE
            if passed and rate > search.best:
                best = summary, cpu_s
            search.observe(rate, passed)
        summary, cpu_s = best or (summary, cpu_s)
        return Figures(
            rate=search.best,
            p50_s=summary.p50_s,
            p99_s=summary.p99_s,
            errors=summary.errors,
            cpu_s_per_answer=cpu_s / max(1, summary.requests),
            client_busy=summary.client_busy,
            duration_s=self._duration_s,
            tries=tries,
        )

    def _in_time(self, summary: Summary, rate: float) -> float:
        due = sum(1 for _ in arrivals(rate, self._duration_s, self._runs))
        return summary.goodput * self._duration_s / max(1, due)

    def _run(
        self,
        server: Server,
        workload: str,
        connections: int,
        objective_s: float,
        rate: float,
        duration_s: float,
    ) -> tuple[Summary, float]:
        self._runs += 1
        values = samples(workload, 1)[0]
        request = server.rival.request([float(SLOT), *values[1:]])
        spec = LoadSpec(
            host=HOST,
            port=server.port,
            path=request.path,
            values=values,
            body=request.body,
            connections=connections,
            duration_s=duration_s,
            inputs=Inputs.DISTINCT,
            first_number=self._runs * _NUMBERS_PER_RUN,
            slo_s=objective_s,
            rate=rate,
            seed=self._runs,
        )
        before_s = server.cpu_seconds()
        try:
            summary = self._generator.run(spec)
        except RuntimeError as error:
            raise LoadFailedError(f"{server.rival.name}: {error}") from error
        return summary, server.cpu_seconds() - before_s


def run_cell(meter: Meter, server: Server, cell: Cell, known: dict[Cell, Figures]) -> Figures:
    """Measure one cell; what is known already tells where to look."""
    if cell.kind == "closed":
        return meter.closed(server, cell)
    closed = [
        figures.rate
        for other, figures in known.items()
        if (other.workload, other.rival, other.kind) == (cell.workload, cell.rival, "closed")
    ]
    earlier = [
        figures.rate
        for other, figures in known.items()
        if dataclasses.replace(other, repetition=cell.repetition) == cell
    ]
    return meter.open(server, cell, max(closed, default=500.0), max(earlier, default=0.0))
