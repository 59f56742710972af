"""The model behind mosec."""

from __future__ import annotations

import json
import os
from typing import Any

import orjson
from mosec import Server, Worker

from benchmarks.peers.rival import SETTINGS_VARIABLE
from benchmarks.peers.workload import load_from_environment


class Model(Worker):
    """Batches arrive as a list of inputs."""

    def __init__(self) -> None:
        """Load the model once per process."""
        self._predict = load_from_environment()

    def forward(self, data: list[list[float]]) -> list[float]:
        """Predict a batch."""
        return self._predict(data).tolist()


class QuickModel(Model):
    """Has another parser than the standard library's, in the methods that mosec names for that."""

    def deserialize(self, data: bytes) -> Any:
        """Decode one request."""
        return orjson.loads(data)

    def serialize(self, data: Any) -> bytes:
        """Encode one answer."""
        return orjson.dumps(data)


def main() -> None:
    """Serve; the port and the like are on the command line."""
    settings = json.loads(os.environ[SETTINGS_VARIABLE])
    server = Server()
    server.append_worker(
        QuickModel if settings["json"] == "orjson" else Model,
        num=1,
        max_batch_size=settings["max_batch_size"],
        max_wait_time=settings["max_wait_time_ms"],
    )
    server.run()


if __name__ == "__main__":
    main()
