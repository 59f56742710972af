"""The model behind LitServe."""

from __future__ import annotations

import json
import os
import sys

import litserve
import numpy as np

from benchmarks.peers.rival import SETTINGS_VARIABLE
from benchmarks.peers.workload import load_from_environment


class Model(litserve.LitAPI):
    """Batches arrive as an array of rows."""

    def setup(self, device: str) -> None:
        """Load the model once per process."""
        self._predict = load_from_environment()

    def decode_request(self, request) -> list[float]:  # an annotation would become its schema
        """Return the input of one request."""
        return request["input"]

    def batch(self, inputs: list[list[float]]) -> np.ndarray:
        """Stack the inputs."""
        return np.asarray(inputs)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predict a batch."""
        return self._predict(inputs)

    def unbatch(self, output: np.ndarray) -> list[float]:
        """Return one answer for each request."""
        return output.tolist()

    def encode_response(self, output: float) -> dict[str, float]:
        """Return the body of one answer."""
        return {"output": output}


def main() -> None:
    """Serve on the port of the command line."""
    settings = json.loads(os.environ[SETTINGS_VARIABLE])
    api = Model(
        max_batch_size=settings["max_batch_size"], batch_timeout=settings["batch_timeout_s"]
    )
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=1, fast_queue=settings["fast_queue"]
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=settings["num_api_servers"],
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()
