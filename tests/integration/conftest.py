"""Fixtures with a real embedded store server on a Unix socket."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from clipper.store.redis import RedisStore

_START_TIMEOUT_S = 20.0


class EmbeddedServer:
    """A store server process that tests may kill and start again on the same data."""

    def __init__(self, directory: Path, *options: str) -> None:
        """``options`` of the server are stronger than those that Clipper gives it."""
        self._options = options
        self.data_dir = directory / "data"
        self.socket_path = directory / "store.sock"
        self.url = f"unix://{self.socket_path}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (directory / "server.log").open("wb")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        code = (
            "import sys; from pathlib import Path; from clipper.store import embedded; "
            "command = embedded.server_command; "
            "embedded.server_command = lambda *given: [*command(*given), *sys.argv[3:]]; "
            "listener = embedded.StoreListener(Path(sys.argv[2])); "
            "embedded.exec_server(Path(sys.argv[1]), listener)"
        )
        paths = (str(self.data_dir), str(self.socket_path))
        command = [sys.executable, "-c", code, *paths, *self._options]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self._wait_until_ready()

    def kill(self) -> None:
        """SIGKILL, as a machine out of memory would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._log.close()

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            assert self._process is not None
            assert self._process.poll() is None, self.log_text()
            assert time.monotonic() < give_up_at, self.log_text()
            time.sleep(0.01)

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
        ):
            connection.settimeout(1)
            connection.connect(str(self.socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False

    def log_text(self) -> str:
        return Path(self._log.name).read_text(errors="replace")


@contextlib.contextmanager
def running_server(*options: str) -> Iterator[EmbeddedServer]:
    """A running server with an empty store of its own, and perhaps other options than Clipper's."""
    directory = Path(tempfile.mkdtemp(prefix="clp", dir="/tmp"))  # socket paths must be short
    server = EmbeddedServer(directory, *options)
    try:
        server.start()
        yield server
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def embedded_server() -> Iterator[EmbeddedServer]:
    """A running server with an empty store of its own."""
    with running_server() as server:
        yield server


@pytest.fixture
def store_url(embedded_server: EmbeddedServer) -> str:
    """URL of the running server."""
    return embedded_server.url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[RedisStore]:
    """A store of the cluster ``test`` on the running server."""
    opened = RedisStore(store_url, "test")
    try:
        yield opened
    finally:
        await opened.close()
