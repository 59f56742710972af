"""Ray Serve: HAProxy in front, one replica process with the batcher and the model.

Settings, and why:

- ``num_replicas=1``: one model process for everybody.
- ``max_batch_size``: as `batch_cap` says.
- ``batch_wait_timeout_s`` 1 ms: it waits this long unless the batch is full.
- ``max_ongoing_requests``: two full batches and more; the default of 5 would cap the batch at 5.
- access log off and log level WARNING, no dashboard: nothing is done for each request but serving.
- ``RAY_SERVE_THROUGHPUT_OPTIMIZED=1``: what its performance guide says for throughput: user code
  and router on the event loop of their process, not on threads of their own, and buffered logs.
- ``RAY_SERVE_ENABLE_HA_PROXY=1``: HAProxy, which comes with it, in place of the proxy in Python:
  ten times the throughput here. Its four threads by default; with one or two it did no better.
- answers are ready responses: it sends others in chunks.
- four logical processors, since its controller and proxy claim some; the machine's are as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.rival import Launch, Request, Rival, batch_cap, encoded, number_at


def _settings(workload: str, objective_s: float) -> dict[str, Any]:
    return {
        "max_batch_size": batch_cap(workload, objective_s),
        "batch_wait_timeout_s": 0.001,
        "max_ongoing_requests": 4096,
    }


def _command(launch: Launch, settings: dict[str, Any]) -> list[str]:
    files = launch.workdir / "ray"
    return [str(launch.python), "-m", "benchmarks.peers.apps.ray_app", str(launch.port), str(files)]


def _request(values: Sequence[float]) -> Request:
    return Request("/", encoded(list(values)))


def _environment(launch: Launch) -> dict[str, str]:
    files = launch.workdir / "haproxy"
    return {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(launch.port + 1),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(launch.port + 2),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(files / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(files / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(files / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(files),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(files / "server-state"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


RIVAL = Rival("ray", _settings, _command, _request, number_at(), _environment)
