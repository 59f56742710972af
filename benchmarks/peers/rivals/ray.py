"""Ray Serve: a Python proxy in front, one replica process with the batcher and the model.

Settings, and why:

- ``num_replicas=1``: one model process for everybody.
- ``max_batch_size``: the largest batch that keeps twice its time within the objective.
- ``batch_wait_timeout_s`` 1 ms: it waits this long unless the batch is full.
- ``max_ongoing_requests``: two full batches and more; the default of 5 would cap the batch at 5.
- access log off and log level WARNING, no dashboard: nothing is done for each request but serving.
- ``RAY_SERVE_THROUGHPUT_OPTIMIZED=1``: what its performance guide says for throughput: user code
  and router on the event loop of their process, not on threads of their own, and buffered logs.
- four logical processors, since its controller and proxy claim some; the machine's are as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.rival import Launch, Request, Rival, batch_cap, encoded, number_at


def _settings(workload: str, objective_s: float) -> dict[str, Any]:
    return {
        "max_batch_size": batch_cap(objective_s),
        "batch_wait_timeout_s": 0.001,
        "max_ongoing_requests": 4096,
    }


def _command(launch: Launch, settings: dict[str, Any]) -> list[str]:
    files = launch.workdir / "ray"
    return [str(launch.python), "-m", "benchmarks.peers.apps.ray_app", str(launch.port), str(files)]


def _request(values: Sequence[float]) -> Request:
    return Request("/", encoded(list(values)))


def _environment(launch: Launch) -> dict[str, str]:
    return {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"}


RIVAL = Rival("ray", _settings, _command, _request, number_at(), _environment)
