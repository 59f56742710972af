"""LitServe: FastAPI in front, one Python process for the model.

Settings, and why:

- ``workers_per_device=1``: one model process for everybody.
- ``max_batch_size``: as `batch_cap` says.
- ``batch_timeout`` 1 ms: it waits this long unless the batch is full.
- ``fast_queue=False``, its default. Answers over ZeroMQ, which its documentation recommends for
  high load, were slower here: 99 % took 121 ms, not 22 ms, at 700 requests a second.
- ``num_api_servers=1``: as many as model workers, its default; a second one has no processor here.
- log level ``warning`` and no access log, as its documentation says for production.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.rival import Launch, Request, Rival, batch_cap, encoded, number_at


def _settings(workload: str, objective_s: float) -> dict[str, Any]:
    return {
        "max_batch_size": batch_cap(workload, objective_s),
        "batch_timeout_s": 0.001,
        "fast_queue": False,
        "num_api_servers": 1,
    }


def _command(launch: Launch, settings: dict[str, Any]) -> list[str]:
    return [str(launch.python), "-m", "benchmarks.peers.apps.litserve_app", str(launch.port)]


def _request(values: Sequence[float]) -> Request:
    return Request("/predict", encoded({"input": list(values)}))


RIVAL = Rival("litserve", _settings, _command, _request, number_at("output"))
