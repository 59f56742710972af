"""A local cluster as experiments see it: deploy, load, read metrics."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import requests

from benchmarks.processes import HOST, clipper_cluster, worker_processes
from benchmarks.spec import Inputs, LoadSpec
from clipper.admin.connection import ClipperConnection
from clipper.deployers.python import deploy_python_closure
from clipper.managers.local import LocalContainerManager

_METRICS_TIMEOUT_S = 5.0


@dataclasses.dataclass(slots=True)
class Cluster:
    """One running cluster."""

    connection: ClipperConnection
    manager: LocalContainerManager
    _inputs_used: int = 0

    @property
    def port(self) -> int:
        """Where predictions are asked for."""
        return int(self.manager.get_query_addr().rpartition(":")[2])

    def register(self, app: str, model: str, slo_s: float) -> None:
        """Register an application on a model that is deployed."""
        self.connection.register_application(app, "doubles", "-1", round(slo_s * 1e6))
        self.connection.link_model_to_app(app, model)

    def deploy(self, model: str, function: Callable[[Any], Any], **options: Any) -> None:
        """Deploy a Python function; options are those of `deploy_python_closure`."""
        deploy_python_closure(self.connection, model, 1, "doubles", function, **options)

    def frontend_pids(self) -> list[int]:
        """Return the query frontend's processes."""
        return worker_processes(self.manager)

    def container_pids(self, model: str) -> list[int]:
        """Return the processes of a model's replicas."""
        return self.manager.child_pids()[f"model:{model}:1"]

    def load(self, app: str, duration_s: float, **options: Any) -> LoadSpec:
        """Return a run against an application, whose inputs no earlier run has had.

        Args:
            options: any field of `LoadSpec`.
        """
        self._inputs_used += 50_000_000
        plain = {
            "values": [0.5] * 8,
            "connections": 32,
            "inputs": Inputs.DISTINCT,
            "first_number": self._inputs_used,
        }
        fields = {**plain, **options}
        return LoadSpec(HOST, self.port, f"/{app}/predict", duration_s=duration_s, **fields)

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a Prometheus metric's samples that carry these labels."""
        text = requests.get(f"http://{HOST}:{self.port}/metrics", timeout=_METRICS_TIMEOUT_S).text
        return sum_of(text, name, labels)


def sum_of(exposition: str, name: str, labels: dict[str, str]) -> float:
    """Sum the samples of ``name`` in Prometheus text that carry all of ``labels``."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    total = 0.0
    for line in exposition.splitlines():
        head, _, value = line.rpartition(" ")
        sample, _, rest = head.partition("{")
        if sample == name and all(label in rest for label in wanted):
            total += float(value)
    return total


@contextlib.contextmanager
def cluster(**options: Any) -> Iterator[Cluster]:
    """Run a cluster for the block; options are those of `start_clipper`."""
    with clipper_cluster(**options) as (connection, manager):
        yield Cluster(connection, manager)
