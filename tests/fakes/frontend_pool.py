"""A supervisor with stand-in workers, as processes of their own.

A stand-in shares the HTTP port and owns an RPC port like a real worker. On both it answers one
line of text per connection: ``pid``, ``count`` (measures one query), ``scrape`` (the merged metrics
as JSON), ``hang`` (blocks its event loop for ever).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import psutil

from clipper.frontend.metrics_hub import MetricsHubClient
from clipper.frontend.workers import WorkerPoolSettings, WorkerStart, supervise
from clipper.logs import setup_logging
from clipper.metrics import FrontendMetrics, render_json

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_TIMEOUT_S = 20.0


class FrontendPool:
    """A running supervisor, and conversations with its workers."""

    def __init__(self, port: int, rpc_port: int, workers: int, grace_s: float, log: str) -> None:
        self.port = port
        self.rpc_port = rpc_port
        self.log = pathlib.Path(log)
        # A killed supervisor cannot clear its directory.
        self._temporary = tempfile.TemporaryDirectory(prefix="pool-")
        arguments = [str(value) for value in (port, rpc_port, workers, grace_s)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.fakes.frontend_pool", "supervise", *arguments],
                cwd=REPOSITORY,
                env={**os.environ, "TMPDIR": self._temporary.name},
                stdout=output,
                stderr=output,
            )

    def ask(self, worker: int | None, command: str, timeout_s: float = 5.0) -> str:
        """Return a worker's answer; of any worker, over the shared port, when None."""
        port = self.port if worker is None else self.rpc_port + worker
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.sendall(f"{command}\n".encode())
            with connection.makefile() as answer:
                return answer.read()

    def answers(self, worker: int, other_than: int = 0) -> bool:
        """Whether the worker serves, and is not the process ``other_than``."""
        with contextlib.suppress(OSError):
            return self.ask(worker, "pid") not in ("", str(other_than))
        return False

    def wait_for_successor(self, worker: int, pid: int) -> None:
        """Return when another process than ``pid`` serves as this worker."""
        wait_until(lambda: self.answers(worker, other_than=pid), f"worker {worker} is back")

    def pid(self, worker: int) -> int:
        return int(self.ask(worker, "pid"))

    def scrape(self, worker: int) -> int:
        """Return how many queries all workers have measured, as one of them says."""
        for member in json.loads(self.ask(worker, "scrape"))["counters"]:
            if "app:a:num_predictions" in member:
                return int(member["app:a:num_predictions"]["count"])
        raise AssertionError("the application is not in the metrics")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        """End everything that still runs, however the test ended."""
        left = []
        with contextlib.suppress(psutil.NoSuchProcess):
            left = self.children()
        self.process.kill()
        self.process.wait()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._temporary.cleanup()


@contextlib.contextmanager
def frontend_pool(
    log: pathlib.Path, workers: int = 2, grace_s: float = 15.0
) -> Iterator[FrontendPool]:
    """Yield a pool whose workers all answer."""
    port, rpc_port = free_ports(1)[0], free_ports(workers)[0]
    pool = FrontendPool(port, rpc_port, workers, grace_s, str(log))
    try:
        for worker in range(workers):
            wait_until(lambda worker=worker: pool.answers(worker), f"worker {worker} answers")
        yield pool
    finally:
        pool.close()


def free_ports(count: int) -> list[int]:
    """Return consecutive ports that nobody listens on."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            start = first.getsockname()[1]
            try:
                for port in range(start + 1, start + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return list(range(start, start + count))


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds.

    Raises:
        AssertionError: it did not in 20 s.
    """
    give_up_s = time.monotonic() + _TIMEOUT_S
    while not condition():
        assert time.monotonic() < give_up_s, f"not so after {_TIMEOUT_S} s: {what}"
        time.sleep(0.02)


async def _work(index: int, hub_path: str, port: int, rpc_port: int, listen_fd: str) -> None:
    metrics = FrontendMetrics(time.monotonic, "0")
    application = metrics.application("a")
    hub = MetricsHubClient(hub_path, metrics.snapshot_parts, push_interval_s=0.05)
    await hub.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match (await reader.readline()).decode().strip():
            case "pid":
                writer.write(str(os.getpid()).encode())
            case "count":
                application.answered(0.001)
            case "scrape":
                writer.write(json.dumps(render_json(await hub.merged_snapshot())).encode())
            case "hang":
                while True:
                    signal.pause()
        writer.close()

    if listen_fd:
        listener = socket.socket(fileno=int(listen_fd))
        shared = await asyncio.start_server(serve, sock=listener)
    else:
        shared = await asyncio.start_server(serve, "127.0.0.1", port, reuse_port=True)
    own = await asyncio.start_server(serve, "127.0.0.1", rpc_port + index)
    await stop.wait()
    shared.close()
    own.close()
    await hub.stop()


def main(role: str, arguments: list[str]) -> int:
    setup_logging(role)
    if role == "work":
        index, hub_path, port, rpc_port, listen_fd = arguments
        asyncio.run(_work(int(index), hub_path, int(port), int(rpc_port), listen_fd))
        return 0
    port, rpc_port, workers, grace_s = arguments

    def command(start: WorkerStart) -> list[str]:
        module = [sys.executable, "-m", "tests.fakes.frontend_pool", "work"]
        listen_fd = "" if start.listen_fd is None else str(start.listen_fd)
        return module + [str(start.index), start.hub_socket, port, rpc_port, listen_fd]

    settings = WorkerPoolSettings(
        port=int(port), rpc_port=int(rpc_port), workers=int(workers), grace_s=float(grace_s)
    )
    return asyncio.run(supervise(settings, command))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
