"""One real model container without a frontend: batches go straight over the wire, and are timed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import HOST, environment, stop
from clipper.clock import LoopClock
from clipper.datatypes import InputType, VersionedModelId
from clipper.deployers.closures import save_function
from clipper.managers.ports import free_port
from clipper.replicas.replica import BatchReply, Replica
from clipper.replicas.service import RpcServer
from clipper.replicas.session import RpcSettings
from clipper.rpc.pb import model_container_pb2 as pb

_BUDGET_S = 60.0
_START_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Timed:
    """One batch, answered. Seconds."""

    size: int
    round_trip_s: float
    compute_s: float


class DirectReplica:
    """The registry of a gRPC endpoint that one container dials, and the sender of its batches."""

    def __init__(self) -> None:
        self.worker_id = "benchmark"
        self._joined = asyncio.Event()
        self._replica: Replica | None = None
        self._waiting: dict[int, asyncio.Future[BatchReply]] = {}

    async def send(self, inputs: Sequence[bytes]) -> Timed:
        """Send one batch and wait for its answer.

        Raises:
            RuntimeError: the model failed on it.
        """
        assert self._replica is not None
        begun_s = time.perf_counter()
        batch_id = self._replica.send_batch(list(inputs), [_BUDGET_S] * len(inputs), 1, None)
        answer = self._waiting[batch_id] = asyncio.get_running_loop().create_future()
        reply = await answer
        if reply.errors:
            raise RuntimeError(f"the model failed: {next(iter(reply.errors.values()))}")
        return Timed(len(inputs), time.perf_counter() - begun_s, reply.compute_s)

    async def connected(self) -> None:
        """Wait for the container.

        Raises:
            TimeoutError: it did not come.
        """
        async with asyncio.timeout(_START_S):
            await self._joined.wait()

    async def replica_number(self, model: VersionedModelId, instance_id: str) -> int:
        """There is one container."""
        return 0

    def check(self, model: VersionedModelId, input_type: InputType) -> None:
        """Any container will do."""

    def workers(self) -> pb.WorkerList:
        """Nobody else is to be dialled."""
        return pb.WorkerList()

    def replica_joined(self, replica: Replica) -> None:
        """The container registered; its first credits are still to come."""
        self._replica = replica

    def replica_left(self, replica: Replica, reason: str) -> None:
        """Whatever waits will not be answered."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(RuntimeError(f"the container left: {reason}"))

    def replica_pumped(self, replica: Replica) -> None:
        """Credits came."""
        self._joined.set()

    def replica_answered(self, replica: Replica, batch_id: int, reply: BatchReply) -> None:
        """A batch came back."""
        answer = self._waiting.pop(batch_id)
        if not answer.done():
            answer.set_result(reply)

    def replica_draining(self, replica: Replica) -> None:
        """It is being stopped."""


@contextlib.asynccontextmanager
async def direct_replica(function: Callable[[Any], Any]) -> AsyncIterator[DirectReplica]:
    """Run a container with a Python function for the block."""
    registry = DirectReplica()
    port = free_port(HOST)
    clock = LoopClock(asyncio.get_running_loop())
    server = RpcServer(registry, RpcSettings(HOST, port), clock)
    await server.start()
    with tempfile.TemporaryDirectory(prefix="clipper-bench-") as directory:
        save_function(function, Path(directory))
        variables = {
            "CLIPPER_MODEL_NAME": "direct",
            "CLIPPER_MODEL_VERSION": "1",
            "CLIPPER_MODEL_PATH": directory,
            "CLIPPER_PORT": str(port),
            "CLIPPER_METRICS_PORT": "off",
            "OMP_NUM_THREADS": "1",
        }
        process = await asyncio.to_thread(_container, {**environment(), **variables})
        try:
            await registry.connected()
            yield registry
        finally:
            await asyncio.to_thread(stop, process)
            await server.stop(0.0)


def _container(variables: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "clipper.container", "--framework", "python-closure"]
    return subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)


def packed_rows(matrix: np.ndarray[Any, Any]) -> list[bytes]:
    """Return each row as the packed doubles of one input."""
    return [row.astype("<f8").tobytes() for row in matrix]
