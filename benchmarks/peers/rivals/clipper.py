"""Clipper itself: a local cluster from this checkout, with default settings.

Settings, and why:

- the service level objective is the one that clients have; batch sizes follow from it.
- ``on_default="error"``: a default counts as what it is here, an answer that was not given. With a
  status of its own every client can tell, also `wrk`, which reads no headers.
- the forest goes through the stock scikit-learn deployer, the accelerator through the one for
  Python functions.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.peers.rival import Launch, Request, Rival, encoded, number_at


def _settings(workload: str, objective_s: float) -> dict[str, Any]:
    return {"slo_micros": round(objective_s * 1e6), "on_default": "error"}


def _command(launch: Launch, settings: dict[str, Any]) -> list[str]:
    state = launch.workdir / "state"
    app = "benchmarks.peers.apps.clipper_app"
    return [sys.executable, "-m", app, str(launch.port), str(state)]


def _request(values: Sequence[float]) -> Request:
    return Request("/model/predict", encoded({"input": list(values)}))


RIVAL = Rival("clipper", _settings, _command, _request, number_at("output"))
