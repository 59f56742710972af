"""BentoML: a Python HTTP server with a batcher that adapts, the model in the same process.

Settings, and why:

- ``workers=1``: one model process for everybody.
- ``batchable=True``, called directly with rows of one: the wrapper service that its documentation
  shows for single inputs would add a second HTTP hop to each request.
- ``max_batch_size``: as `batch_cap` says.
- ``max_latency_ms``: its default of a minute. With the objective there, 50 or 20 ms, its batcher
  refuses most requests with status 503, since it expects them to be late.
- warmed up by one connection, not 64: its batcher makes requests wait as long as earlier ones did,
  less a twentieth every five seconds, and would be measured by what the warm-up left there.
- access log off: no line for each request.
- inputs are declared as numpy arrays, which it decodes fastest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.rival import Launch, Request, Rival, batch_cap, encoded, number_at


def _settings(workload: str, objective_s: float) -> dict[str, Any]:
    return {
        "max_batch_size": batch_cap(workload, objective_s),
        "max_latency_ms": 60_000,
    }


def _command(launch: Launch, settings: dict[str, Any]) -> list[str]:
    return [
        *(launch.tool("bentoml"), "serve", "benchmarks.peers.apps.bentoml_app:Model"),
        *("--host", "127.0.0.1", "--port", str(launch.port)),
    ]


def _request(values: Sequence[float]) -> Request:
    return Request("/predict", encoded({"rows": [list(values)]}))


def _environment(launch: Launch) -> dict[str, str]:
    return {"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(launch.workdir / "home")}


RIVAL = Rival(
    "bentoml", _settings, _command, _request, number_at(0), _environment, warm_up_connections=1
)
