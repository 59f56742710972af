"""E20: what the way through Clipper costs, beside a server that is as simple as can be.

The same forest: called directly, behind a static batch server in one process, in a container over
the wire alone, and through Clipper's REST interface; batches of the same size everywhere.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import numpy as np
import uvloop
from sklearn.datasets import load_digits

from benchmarks import models
from benchmarks.cluster import Cluster, cluster
from benchmarks.direct import Timed, direct_replica, packed_rows
from benchmarks.processes import HOST, LoadGenerator, load_generator, python_server
from benchmarks.publishing import Result, panels
from benchmarks.spec import Inputs, LoadSpec
from benchmarks.verdict import at_least, at_most
from clipper.deployers.sklearn import deploy_sklearn_model

BATCH = 32
CONNECTIONS = 3 * BATCH
"""One batch computing, one waiting and one being gathered."""
WAIT_S = 0.002
SLO_S = 0.2
REPEATS = 5
_SECONDS = 1.0


def run() -> Result:
    """Measure all ways, those over REST in turns."""
    forest = models.digits_forest()
    inputs = load_digits().data[:BATCH].copy()
    direct = _direct(forest, inputs)
    over_wire = uvloop.run(_over_wire(forest, inputs))
    rest: dict[str, list[float]] = {"static": [], "clipper": []}
    arguments = ["benchmarks.static_server", str(BATCH), str(WAIT_S)]
    with (
        cluster() as running,
        python_server(*arguments) as (static_port, _),
        load_generator() as generator,
    ):
        deploy_sklearn_model(
            running.connection, "forest", 1, "doubles", None, forest, batch_size=BATCH
        )
        running.register("forest", "forest", SLO_S)
        for number in range(REPEATS + 1):
            spec = _spec(running, number)
            static = LoadSpec(**{**spec, "port": static_port})
            for name, one in (("static", static), ("clipper", LoadSpec(**spec))):
                rest[name].append(generator.run(one).throughput)
        parts = _parts(running, generator)
    static_rate, clipper_rate = (statistics.median(rest[n][1:]) for n in ("static", "clipper"))
    overhead_s = statistics.median(one.round_trip_s - one.compute_s for one in over_wire)
    wire_rate = BATCH / statistics.median(one.round_trip_s for one in over_wire)
    rates = {
        "direct call": BATCH / direct,
        "container over the wire": wire_rate,
        "static batch server": static_rate,
        "Clipper": clipper_rate,
    }
    rows: list[dict[str, Any]] = [{"way": way, "per_s": rate} for way, rate in rates.items()]
    rows += [{"way": f"part: {name}, s", "per_s": value} for name, value in parts.items()]
    verdicts = [
        at_least("Clipper / static batch server, throughput", clipper_rate / static_rate, 0.8),
        at_most("overhead of the wire beside the model, median ms", overhead_s * 1e3, 2),
    ]
    figure, (left, right) = panels(2)
    left.barh(list(rates), list(rates.values()))
    left.set(xlabel=f"predictions per second, batches of {BATCH}")
    bottom = 0.0
    for name, value in parts.items():
        right.bar(["Clipper"], [value * 1e3], bottom=bottom, label=name)
        bottom += value * 1e3
    right.set(ylabel="mean latency, ms")
    right.legend()
    return Result("e20", "Overhead of the frontend", rows, verdicts, figure)


def _direct(forest: Any, inputs: np.ndarray[Any, Any]) -> float:
    """Return the median time of one batch in this process."""
    times_s = []
    end_s = time.perf_counter() + _SECONDS
    while time.perf_counter() < end_s:
        begun_s = time.perf_counter()
        forest.predict(inputs)
        times_s.append(time.perf_counter() - begun_s)
    return statistics.median(times_s)


async def _over_wire(forest: Any, inputs: np.ndarray[Any, Any]) -> list[Timed]:
    packed = packed_rows(inputs)
    async with direct_replica(lambda batch: forest.predict(batch)) as replica:
        await replica.send(packed)
        end_s = asyncio.get_running_loop().time() + _SECONDS
        found = []
        while asyncio.get_running_loop().time() < end_s:
            found.append(await replica.send(packed))
        return found


def _spec(running: Cluster, number: int) -> dict[str, Any]:
    spec = running.load("forest", _SECONDS, connections=CONNECTIONS, slo_s=SLO_S)
    return {
        "host": HOST,
        "port": spec.port,
        "path": spec.path,
        "values": models.values(64),
        "connections": CONNECTIONS,
        "duration_s": _SECONDS,
        "inputs": Inputs.DISTINCT,
        "first_number": spec.first_number,
        "slo_s": SLO_S,
    }


def _parts(running: Cluster, generator: LoadGenerator) -> dict[str, float]:
    """Return what a query's mean latency is made of, from the frontend's own metrics."""
    names = {
        "queue": "clipper_queue_wait_seconds",
        "predict": "clipper_model_compute_seconds",
        "all": "clipper_prediction_latency_seconds",
    }

    def totals() -> dict[str, tuple[float, float]]:
        return {
            part: (running.metric(name + "_sum"), running.metric(name + "_count"))
            for part, name in names.items()
        }

    before = totals()
    generator.run(LoadSpec(**_spec(running, 0)))
    means = {
        part: (total - before[part][0]) / max(1.0, count - before[part][1])
        for part, (total, count) in totals().items()
    }
    other = means["all"] - means["queue"] - means["predict"]
    return {"predict": means["predict"], "queue": means["queue"], "other": max(0.0, other)}
