"""MLServer: FastAPI in front, one Python process for the model, the Open Inference Protocol.

Settings, and why:

- ``parallel_workers=1``: one model process for everybody; its default.
- ``max_batch_size``: as `batch_cap` says.
- ``max_batch_time`` 1 ms: it waits this long unless the batch is full.
- ``debug=false``: no line for each request.
- its response cache stays off, as it is by default.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.peers.rival import Launch, Request, Rival, batch_cap, encoded, number_at


def _settings(workload: str, objective_s: float) -> dict[str, Any]:
    return {"max_batch_size": batch_cap(workload, objective_s), "max_batch_time": 0.001}


def _command(launch: Launch, settings: dict[str, Any]) -> list[str]:
    server = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": launch.port,
        "grpc_port": launch.port + 1,
        "metrics_port": launch.port + 2,
        "parallel_workers": 1,
        "metrics_dir": str(launch.workdir / "metrics"),
        "environments_dir": str(launch.workdir / "environments"),
    }
    model = {
        "name": "model",
        "implementation": "benchmarks.peers.apps.mlserver_runtime.Model",
        **settings,
    }
    (launch.workdir / "metrics").mkdir()
    (launch.workdir / "settings.json").write_text(json.dumps(server))
    (launch.workdir / "model-settings.json").write_text(json.dumps(model))
    return [launch.tool("mlserver"), "start", str(launch.workdir)]


def _request(values: Sequence[float]) -> Request:
    tensor = {"name": "x", "shape": [1, len(values)], "datatype": "FP64", "data": list(values)}
    return Request("/v2/models/model/infer", encoded({"inputs": [tensor]}))


RIVAL = Rival("mlserver", _settings, _command, _request, number_at("outputs", 0, "data", 0))
