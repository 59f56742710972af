"""A real model container as a child process that a test starts, signals and always ends."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
from types import TracebackType

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class ContainerProcess:
    """``python -m clipper.container``; use as ``async with ContainerProcess(port, "sum") as c``."""

    def __init__(self, port: int, framework: str, **environment: str) -> None:
        self.command = [sys.executable, "-m", "clipper.container", "--framework", framework]
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(REPOSITORY),
            "CLIPPER_MODEL_NAME": "m",
            "CLIPPER_MODEL_VERSION": "1",
            "CLIPPER_MODEL_PATH": "/nonexistent",
            "CLIPPER_PORT": str(port),
            "CLIPPER_METRICS_PORT": "off",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.log = ""

    async def __aenter__(self) -> ContainerProcess:
        self._process = subprocess.Popen(  # noqa: ASYNC220 - tests wait for it in threads
            self.command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        # Read as it comes: a full pipe would stop the container.
        self._reader = asyncio.create_task(asyncio.to_thread(self._read, self._process))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        await self._reader
        self.process.wait()
        if error is not None:
            error.add_note(f"Log of the container:\n{self.log}")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_status(self, timeout_s: float = 20.0) -> int:
        """Wait for the process to end by itself; its log is complete then."""
        status = await asyncio.to_thread(self.process.wait, timeout_s)
        await self._reader
        return status

    async def logged(self, text: str, timeout_s: float = 20.0) -> None:
        """Wait until the log holds ``text``."""
        async with asyncio.timeout(timeout_s):
            while text not in self.log:  # noqa: ASYNC110 - a thread writes the log
                await asyncio.sleep(0.01)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.log += line.decode(errors="replace")
