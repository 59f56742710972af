"""What many applications, models and replicas cost one frontend process.

``python -m benchmarks.scale [--apps 1000] [--models 100] [--replicas 2]``

Two clusters stand side by side: one with a single application and model, one with a thousand
applications on a hundred models with two connected replicas each. The same load goes to one
application of each in turn; the latency must not differ by more than a tenth. Clients and
replicas keep off the frontends' processor meanwhile. On the way there, the frontend's memory tells
what an idle application, model and replica weigh.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cluster import Cluster, cluster
from benchmarks.processes import HOST, LoadGenerator, environment, load_generator, rss_bytes, stop
from benchmarks.publishing import Result, panels, publish
from benchmarks.recorder import RESULTS
from benchmarks.scheduling import keep_apart
from benchmarks.verdict import Verdict, at_most, new_console

ROUNDS = 41
DURATION_S = 1.0
CONCURRENCIES = (1, 32)
SLO_S = 0.5
WITHIN = 1.1
_READY_S = 60.0
_SETTLE_S = 2.0


@contextlib.contextmanager
def replicas_of(running: Cluster, models: list[str], count: int) -> Iterator[int]:
    """Connect ``count`` light replicas of each model for the block; yield their process's id."""
    address = f"{HOST}:{running.port + 2}"
    command = [sys.executable, "-m", "benchmarks.light_replicas", address, str(count), *models]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the replicas did not register")
        _wait_until_ready(running, len(models) * count)
        yield process.pid
    finally:
        stop(process)


def _wait_until_ready(running: Cluster, count: int) -> None:
    give_up_s = time.monotonic() + _READY_S
    while running.metric("clipper_replicas", state="ready") < count:
        if time.monotonic() > give_up_s:
            raise RuntimeError(f"{count} replicas were not ready after {_READY_S} s")
        time.sleep(0.1)


def frontend_bytes(running: Cluster) -> int:
    """Return the resident memory of the frontend's processes, once it has settled."""
    time.sleep(_SETTLE_S)
    return sum(rss_bytes(pid) for pid in running.frontend_pids())


def fill(running: Cluster, apps: int, models: list[str]) -> dict[str, float]:
    """Register models and applications over the management API; return what each weighs."""
    connection = running.connection
    empty = frontend_bytes(running)
    begun_s = time.monotonic()
    for model in models:
        connection.register_model(model, "1", "doubles")
    models_s = time.monotonic() - begun_s
    with_models = frontend_bytes(running)
    begun_s = time.monotonic()
    for number in range(apps):
        running.register(f"app{number}", models[number % len(models)], SLO_S)
    apps_s = time.monotonic() - begun_s
    with_apps = frontend_bytes(running)
    return {
        "bytes_per_model": (with_models - empty) / len(models),
        "bytes_per_application": (with_apps - with_models) / apps,
        "register_model_s": models_s / len(models),
        "register_application_s": apps_s / apps,
        "bytes_registered": with_apps,
    }


def compare(
    one: Cluster, many: Cluster, generator: LoadGenerator
) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Load one application of each cluster in turn."""
    runs: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for number in range(ROUNDS + 1):
        for connections in CONCURRENCIES:
            for name, running in (("one", one), ("many", many)):
                spec = running.load("app0", DURATION_S, connections=connections, slo_s=SLO_S)
                summary = generator.run(spec)
                row = {
                    "cluster": name,
                    "connections": connections,
                    "throughput": summary.throughput,
                    "p50_s": summary.p50_s,
                    "mean_s": summary.mean_s,
                    "p99_s": summary.p99_s,
                    "defaults": summary.defaults,
                    "errors": summary.errors,
                }
                if number:  # the first round warms up
                    runs.setdefault((name, connections), []).append(row)
    return runs


def measure(apps: int, model_count: int, replicas: int) -> Result:
    """Build both clusters, weigh and compare them."""
    models = [f"model{number}" for number in range(model_count)]
    with cluster() as many, cluster() as one, load_generator() as generator:
        weights = fill(many, apps, models)
        fill(one, 1, models[:1])
        with (
            replicas_of(many, models, replicas) as replicas_of_many,
            replicas_of(one, models[:1], replicas) as replicas_of_one,
        ):
            connected = frontend_bytes(many)
            weights["bytes_per_replica"] = (connected - weights["bytes_registered"]) / (
                model_count * replicas
            )
            apart = keep_apart(
                many.frontend_pids() + one.frontend_pids(),
                (generator.pid, replicas_of_many, replicas_of_one),
            )
            runs = compare(one, many, generator)
    rows = [row for found in runs.values() for row in found]
    verdicts = list(_verdicts(runs))
    figure, axes = panels(len(CONCURRENCIES))
    for axis, connections in zip(axes, CONCURRENCIES, strict=True):
        for name in ("one", "many"):
            axis.plot([row["p50_s"] * 1e3 for row in runs[name, connections]], "o-", label=name)
        axis.set(title=f"{connections} connection(s)", xlabel="round", ylabel="P50, ms")
        axis.set_ylim(0, None)
        axis.legend(title="cluster")
    notes = [
        "the frontends share no processor with clients and replicas"
        if apart
        else "one processor for all: latencies depend on whom the kernel lets run",
        f"{apps} applications, {model_count} models, {model_count * replicas} connected replicas",
        f"an idle application weighs {weights['bytes_per_application'] / 1024:.1f} KiB, "
        f"an idle model {weights['bytes_per_model'] / 1024:.1f} KiB, "
        f"a connected replica {weights['bytes_per_replica'] / 1024:.1f} KiB",
        f"registering took {weights['register_application_s'] * 1e3:.1f} ms for an application "
        f"with its link, {weights['register_model_s'] * 1e3:.1f} ms for a model",
    ]
    return Result("scale", "Many applications, models and replicas", rows, verdicts, figure, notes)


def _verdicts(runs: dict[tuple[str, int], list[dict[str, Any]]]) -> Iterator[Verdict]:
    for connections in CONCURRENCIES:
        for figure, bar in (("p50_s", WITHIN), ("mean_s", WITHIN)):
            many, one = (
                statistics.median(row[figure] for row in runs[name, connections])
                for name in ("many", "one")
            )
            name = figure.removesuffix("_s").replace("p50", "median")
            yield at_most(
                f"{name} latency, many / one model, {connections} connection(s)", many / one, bar
            )
    failures = sum(row["defaults"] + row["errors"] for found in runs.values() for row in found)
    yield at_most("defaults and errors", failures, 0)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--apps", type=int, default=1000)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--replicas", type=int, default=2, help="of each model")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    logging.getLogger("clipper").setLevel(logging.WARNING)
    result = measure(options.apps, options.models, options.replicas)
    publish(new_console(), options.output, result)


if __name__ == "__main__":
    main()
