"""mosec: an HTTP front in Rust, one Python process for the model.

Settings, and why:

- one worker (``num=1``): one model process for everybody.
- ``max_batch_size``: as `batch_cap` says. Tried on two processors: with 64 the accelerator fails
  its 20 ms at a quarter less, with 440 its 50 ms a little earlier; the forest is as fast with any.
- ``max_wait_time`` 1 ms, its smallest: a batch that is not full always waits this long, and half
  the time of a batch is better spent on the next one. 0 means the default of 10 ms.
- ``--capacity``: more than there are connections, so that nothing is refused with status 429.
- ``--log-level warning``: no line for each request.
- ``json``: orjson for requests and answers, through the methods its documentation names for that.
  With ``json``, the standard library's parser that it has by itself, 128 connections get 12,000
  answers a second of the forest, not 16,400.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.rival import Launch, Request, Rival, batch_cap, encoded, number_at


def _settings(workload: str, objective_s: float) -> dict[str, Any]:
    return {
        "max_batch_size": batch_cap(workload, objective_s),
        "max_wait_time_ms": 1,
        "capacity": 4096,
        "json": "orjson",
    }


def _command(launch: Launch, settings: dict[str, Any]) -> list[str]:
    return [
        *(str(launch.python), "-m", "benchmarks.peers.apps.mosec_app"),
        *("--address", "127.0.0.1", "--port", str(launch.port)),
        *("--capacity", str(settings["capacity"]), "--log-level", "warning"),
        *("--path", str(launch.workdir / "ipc")),
    ]


def _request(values: Sequence[float]) -> Request:
    return Request("/inference", encoded(list(values)))


RIVAL = Rival("mosec", _settings, _command, _request, number_at())
