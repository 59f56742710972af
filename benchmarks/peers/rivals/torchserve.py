"""TorchServe: an HTTP front in Java, one Python process for the model.

Settings, and why:

- one worker (``minWorkers`` and ``maxWorkers``): one model process for everybody.
- ``batchSize``: as `batch_cap` says; 32 and 64 sustained less on the forest.
- ``maxBatchDelay`` 1 ms: it waits this long unless the batch is full, also while nothing else is
  there to wait for. 3 ms gave a tenth more at 128 connections and less everywhere else.
- ``jobQueueSize`` 4096: the default of 100 answers 503 as soon as more than that are waiting.
- ``--disable-token-auth``: no other server here checks a token.
- ``async_logging=true`` as its performance guide says, and a log configuration that leaves out
  the line for each request and each metric.
- ``number_of_netty_threads`` stays at its default, the number of processors.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.rival import Launch, Request, Rival, batch_cap, encoded, number_at

_LOGGING = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="STDOUT" target="SYSTEM_OUT"><PatternLayout pattern="%d %p %c %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="warn"><AppenderRef ref="STDOUT"/></Root>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="MODEL_LOG" level="warn"/>
  </Loggers>
</Configuration>
"""


def _settings(workload: str, objective_s: float) -> dict[str, Any]:
    return {"batchSize": batch_cap(workload, objective_s), "maxBatchDelay": 1, "jobQueueSize": 4096}


def _command(launch: Launch, settings: dict[str, Any]) -> list[str]:
    model = {"minWorkers": 1, "maxWorkers": 1, "responseTimeout": 120, **settings}
    configuration = launch.workdir / "model.yaml"
    configuration.write_text("".join(f"{name}: {value}\n" for name, value in model.items()))
    store = launch.workdir / "store"
    store.mkdir()
    handler = Path(__file__).parent.parent / "apps" / "torchserve_handler.py"
    archiver = [
        *(launch.tool("torch-model-archiver"), "--model-name", "model", "--version", "1"),
        *("--handler", str(handler), "--config-file", str(configuration)),
        *("--export-path", str(store)),
    ]
    subprocess.run(archiver, check=True, capture_output=True)
    (launch.workdir / "log4j2.xml").write_text(_LOGGING)
    address = "http://127.0.0.1"
    (launch.workdir / "config.properties").write_text(
        f"inference_address={address}:{launch.port}\n"
        f"management_address={address}:{launch.port + 1}\n"
        f"metrics_address={address}:{launch.port + 2}\n"
        f"grpc_inference_port={launch.port + 3}\n"
        f"grpc_management_port={launch.port + 4}\n"
        f"model_store={store}\n"
        "load_models=model.mar\n"
        "async_logging=true\n"
        "enable_envvars_config=false\n"
    )
    return [
        *(
            launch.tool("torchserve"),
            "--foreground",
            "--disable-token-auth",
            "--no-config-snapshots",
        ),
        *("--ts-config", str(launch.workdir / "config.properties")),
        *("--log-config", str(launch.workdir / "log4j2.xml")),
        *("--model-store", str(store)),
    ]


def _request(values: Sequence[float]) -> Request:
    return Request("/predictions/model", encoded(list(values)))


def _missing() -> str:
    if shutil.which("java"):
        return ""
    return "TorchServe needs Java. On Debian: apt-get install openjdk-17-jre-headless"


RIVAL = Rival("torchserve", _settings, _command, _request, number_at(), missing=_missing)
