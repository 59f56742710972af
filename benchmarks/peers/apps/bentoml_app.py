"""The model behind BentoML."""

from __future__ import annotations

import json
import os

import bentoml
import numpy as np

from benchmarks.peers.rival import SETTINGS_VARIABLE
from benchmarks.peers.workload import DIMENSIONS, WORKLOAD_VARIABLE, load_from_environment

_SETTINGS = json.loads(os.environ[SETTINGS_VARIABLE])
_WIDTH = DIMENSIONS[os.environ[WORKLOAD_VARIABLE]]


@bentoml.service(
    workers=1,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    metrics={"enabled": True},
)
class Model:
    """One worker process; a batch is the rows of all its requests."""

    def __init__(self) -> None:
        """Load the model once per process."""
        self._predict = load_from_environment()

    @bentoml.api(
        batchable=True,
        max_batch_size=_SETTINGS["max_batch_size"],
        max_latency_ms=_SETTINGS["max_latency_ms"],
    )
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Predict a batch."""
        return self._predict(rows)
