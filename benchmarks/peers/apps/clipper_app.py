"""The model behind Clipper: a local cluster, the model deployed as its documentation shows."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from benchmarks.peers.rival import SETTINGS_VARIABLE
from benchmarks.peers.workload import (
    DIRECTORY_VARIABLE,
    WORKLOAD_VARIABLE,
    accelerate,
    forest_file,
)
from clipper.admin.connection import ClipperConnection
from clipper.deployers.python import deploy_python_closure
from clipper.deployers.sklearn import deploy_sklearn_model
from clipper.managers.local import LocalContainerManager


def main() -> None:
    """Serve on the port of the command line and the two after it, state in the directory."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = json.loads(os.environ[SETTINGS_VARIABLE])
    port, state = int(sys.argv[1]), Path(sys.argv[2])
    manager = LocalContainerManager("peers", state, "127.0.0.1", port, port + 1, port + 2)
    connection = ClipperConnection(manager)
    try:
        connection.start_clipper()
        connection.register_application(
            "model", "doubles", "-1", settings["slo_micros"], on_default=settings["on_default"]
        )
        _deploy(connection)
        connection.link_model_to_app("model", "model")
        stop.wait()
    finally:
        connection.stop_all(graceful=False)


def _deploy(connection: ClipperConnection) -> None:
    if os.environ[WORKLOAD_VARIABLE] == "accelerator":
        deploy_python_closure(connection, "model", 1, "doubles", _accelerator)
        return
    forest = forest_file(Path(os.environ[DIRECTORY_VARIABLE]))
    deploy_sklearn_model(connection, "model", 1, "doubles", None, str(forest))


def _accelerator(inputs: list) -> list[float]:
    return accelerate(inputs).tolist()


if __name__ == "__main__":
    main()
