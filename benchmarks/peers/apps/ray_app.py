"""The model behind Ray Serve."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from benchmarks.peers.rival import SETTINGS_VARIABLE
from benchmarks.peers.workload import load_from_environment

_SETTINGS = json.loads(os.environ[SETTINGS_VARIABLE])


@serve.deployment(
    num_replicas=1,
    max_ongoing_requests=_SETTINGS["max_ongoing_requests"],
    logging_config={"enable_access_log": False, "log_level": "WARNING"},
)
class Model:
    """One replica process; batches are made inside it."""

    def __init__(self) -> None:
        """Load the model once per process."""
        self._predict = load_from_environment()

    @serve.batch(
        max_batch_size=_SETTINGS["max_batch_size"],
        batch_wait_timeout_s=_SETTINGS["batch_wait_timeout_s"],
    )
    async def _batch(self, rows: list[list[float]]) -> list[float]:
        return self._predict(rows).tolist()

    async def __call__(self, request: Request) -> JSONResponse:
        """Answer one request."""
        return JSONResponse(await self._batch(await request.json()))


def main() -> None:
    """Serve on the port of the command line, with files below the directory after it."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=sys.argv[2],
        object_store_memory=256 * 1024 * 1024,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Model.bind(), route_prefix="/")
    stop.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
