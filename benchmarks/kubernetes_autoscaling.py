"""The built-in autoscaler on a real Kubernetes: a step of load up, and one down.

``python -m benchmarks.kubernetes_autoscaling [--output DIR] [--phase-s 60]``

Needs a kubeconfig whose current context is a cluster that has Clipper's images, and leaves nothing
there. The model takes 25 ms for each query and does one at a time, so that a replica does 40
queries per second and what a load needs is known: load over 40, and a third more for the objective.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import random
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import load_generator
from benchmarks.publishing import Result, panels, publish
from benchmarks.recorder import RESULTS, Summary
from benchmarks.sleepers import sleeping
from benchmarks.spec import Inputs, LoadSpec
from benchmarks.verdict import Verdict, at_least, at_most, between, new_console
from clipper.admin.connection import ClipperConnection
from clipper.deployers.python import create_endpoint

SERVICE_S = 0.025
SLO_S = 0.5
BOUNDS = (1, 4)
LOADS = (15.0, 100.0, 15.0)
"""Queries per second of the three phases: one replica is enough, 2.5 are busy, one is enough."""
COOL_DOWN_S = 20
_SAMPLE_S = 0.5
_MODEL_RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """The replicas at one moment."""

    time_s: float
    load: float
    wanted: int
    ready: int
    reason: str


@contextmanager
def running() -> Iterator[ClipperConnection]:
    """Start a cluster with one model in a namespace of its own; remove both at the end."""
    from clipper.managers.kubernetes import KubernetesContainerManager
    from clipper.managers.kubernetes.api import KubernetesApi

    api = KubernetesApi()
    namespace = f"clipper-benchmark-{uuid.uuid4().hex[:6]}"
    manager = KubernetesContainerManager(
        "scaling",
        namespace=namespace,
        create_namespace_if_not_exists=True,
        useInternalIP=True,
        redis_storage=None,
        prometheus_image=None,
        autoscale_models=True,
        autoscale_cool_down_s=COOL_DOWN_S,
        model_resources=_MODEL_RESOURCES,
        api=api,
    )
    connection = ClipperConnection(manager)
    try:
        connection.start_clipper()
        create_endpoint(
            connection, "app", "doubles", sleeping(0.0, SERVICE_S), "DEFAULT",
            slo_micros=int(SLO_S * 1e6), batch_size=1,
        )  # fmt: skip
        connection.set_autoscaling("app", *BOUNDS)
        yield connection
    finally:
        connection.stop_all(graceful=False)
        api.delete("v1", "Namespace", namespace)
        api.close()


class Watch:
    """Notes the replicas from a thread of its own."""

    def __init__(self, connection: ClipperConnection) -> None:
        self.samples: list[Sample] = []
        self.load = 0.0
        self._connection = connection
        self._begun_s = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self.samples.append(self._sample())

    def _sample(self) -> Sample:
        connection = self._connection
        decisions = connection.get_autoscaling()["versions"]
        return Sample(
            time_s=time.monotonic() - self._begun_s,
            load=self.load,
            wanted=connection.get_num_replicas("app"),
            ready=connection._ready_count("app", "1"),
            reason=str(decisions[0]["reason"]) if decisions else "",
        )


def changes(samples: Sequence[Sample]) -> list[int]:
    """Return the numbers of replicas one after the other, each once."""
    found = [sample.wanted for sample in samples]
    return [number for number, _ in itertools.groupby(found)]


def turns(numbers: Sequence[int]) -> int:
    """Return how often the number of replicas changed its direction."""
    grows = [after > before for before, after in itertools.pairwise(numbers)]
    return sum(one != other for one, other in itertools.pairwise(grows))


def verdicts(samples: Sequence[Sample], summaries: Sequence[Summary]) -> list[Verdict]:
    """Judge the run: it follows, within bounds, and does not flap."""
    numbers = changes(samples)
    high = [sample for sample in samples if sample.load == LOADS[1]]
    settled_high = [sample.wanted for sample in high[len(high) // 2 :]]
    needed = math.ceil(LOADS[1] * SERVICE_S)
    last = summaries[-1]
    return [
        between("fewest replicas", min(numbers), *BOUNDS),
        between("most replicas", max(numbers), *BOUNDS),
        at_least("replicas in the second half of the high load", min(settled_high), needed),
        at_most("replicas at the end", numbers[-1], BOUNDS[0]),
        at_most("changes of direction", turns(numbers), 1, "up, then down"),
        at_most(
            "defaults at the low load after it, share",
            last.defaults / max(1, last.requests), 0.0,
            "scaling down loses no query",
        ),
    ]  # fmt: skip


def plot(samples: Sequence[Sample]) -> Any:
    """Draw load and replicas over time."""
    figure, [axis] = panels(1)
    times = [sample.time_s for sample in samples]
    axis.step(times, [s.load * SERVICE_S for s in samples], where="post", label="busy replicas")
    axis.step(times, [s.wanted for s in samples], where="post", label="wanted")
    axis.plot(times, [s.ready for s in samples], ".", markersize=3, label="ready")
    axis.set(xlabel="seconds", ylabel="replicas", ylim=(0, BOUNDS[1] + 0.5))
    axis.legend(fontsize="small")
    return figure


def measure(phase_s: float) -> Result:
    """Run the three phases."""
    seeds = random.Random(7)
    with running() as connection, Watch(connection) as watch, load_generator() as generator:
        host, _, port = connection.get_query_addr().partition(":")
        summaries = []
        for index, load in enumerate(LOADS):
            watch.load = load
            spec = LoadSpec(
                host, int(port), "/app/predict", [0.0], connections=64,
                duration_s=phase_s if index < 2 else phase_s + 3 * COOL_DOWN_S,
                inputs=Inputs.DISTINCT, first_number=index * 1_000_000, slo_s=SLO_S, rate=load,
                seed=seeds.randrange(1000),
            )  # fmt: skip
            summaries.append(generator.run(spec))
    rows = [dataclasses.asdict(sample) for sample in watch.samples]
    return Result(
        "autoscaling",
        f"Load {' → '.join(f'{load:g}' for load in LOADS)} queries/s, 1 to 4 replicas of 40/s",
        rows,
        verdicts(watch.samples, summaries),
        plot(watch.samples),
        [
            f"{load:g}/s: {one.requests} queries, {one.defaults} defaults, P99 {one.p99_s:.3f} s"
            for load, one in zip(LOADS, summaries, strict=True)
        ],
    )


def main() -> None:
    """Run, print the verdicts, write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--phase-s", type=float, default=60.0)
    arguments = parser.parse_args()
    publish(new_console(), arguments.output, measure(arguments.phase_s))


if __name__ == "__main__":
    main()
