"""The state directory of a local cluster: where things are, and files written safely.

::

    <state>/cluster.json      configuration and declared models; written by the supervisor only
            lock              held (flock) by the supervisor for as long as it lives
            children.json     process groups that run now
            logs/             one file per process
            store/            data of the embedded store
            bundles/          <model>/<version>/<hash>/ and the link `current`
            environments/     isolated environments by hash of their requirements
            work/             empty working directory of every process
            sockets           directory, or a link to a short one if the path would be too long
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipper.errors import ClipperException

SOCKET_PATH_LIMIT = 100
"""Bytes; the kernel's limit is 108 and some systems' 104, both with the final NUL."""

_LONGEST_SOCKET_NAME = "supervisor.sock"


class StateDir:
    """Paths below one state directory. Constructing creates nothing."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute()
        self.cluster_file = self.root / "cluster.json"
        self.lock_file = self.root / "lock"
        self.children_file = self.root / "children.json"
        self.logs = self.root / "logs"
        self.store = self.root / "store"
        self.bundles = self.root / "bundles"
        self.environments = self.root / "environments"
        self.work = self.root / "work"
        self._sockets = self.root / "sockets"

    @property
    def supervisor_socket(self) -> Path:
        """Unix socket of the supervisor, once `create` was called."""
        return self._socket_dir() / _LONGEST_SOCKET_NAME

    @property
    def store_socket(self) -> Path:
        """Unix socket of the embedded store, once `create` was called."""
        return self._socket_dir() / "store.sock"

    def create(self) -> None:
        """Make the directories, readable by this user only. Idempotent.

        Raises:
            ClipperException: the file system does not allow it.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in self._directories():
                path.mkdir(mode=0o700, exist_ok=True)
            self._create_sockets()
        except OSError as error:
            raise ClipperException(
                f"The state directory {self.root} cannot be used: {error}. Choose another with "
                "state_dir= or the environment variable CLIPPER_STATE_DIR."
            ) from error

    def remove(self) -> None:
        """Remove what this class knows, and the directory itself unless others use it too."""
        self.remove_sockets()
        for directory in self._directories():
            shutil.rmtree(directory, ignore_errors=True)
        for file in (self.cluster_file, self.children_file, self.lock_file):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.root.rmdir()

    def remove_sockets(self) -> None:
        """Remove the sockets and their directory; idempotent."""
        target = self._socket_dir()
        shutil.rmtree(target, ignore_errors=True)
        if self._sockets.is_symlink():
            self._sockets.unlink()

    def _directories(self) -> tuple[Path, ...]:
        return (self.logs, self.store, self.bundles, self.environments, self.work)

    def _socket_dir(self) -> Path:
        return Path(os.readlink(self._sockets)) if self._sockets.is_symlink() else self._sockets

    def _create_sockets(self) -> None:
        if self._socket_dir().is_dir():
            return
        if self._sockets.is_symlink():
            self._sockets.unlink()
        if len(os.fsencode(self._sockets / _LONGEST_SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
            self._sockets.mkdir(mode=0o700, exist_ok=True)
            return
        directory = tempfile.mkdtemp(prefix="clipper-")
        try:
            self._sockets.symlink_to(directory)
        except FileExistsError:
            # Another process starts the same cluster at this moment; its lock decides who may.
            os.rmdir(directory)


def acquire_lock(path: Path, timeout_s: float = 0.0) -> int | None:
    """Lock the file exclusively; return its descriptor, or None if another holds it too long.

    The lock ends when the descriptor is closed, by whatever end the process comes to.
    """
    deadline = time.monotonic() + timeout_s
    while (descriptor := _try_lock(path)) is None:
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.02)
    return descriptor


@contextlib.contextmanager
def locked(path: Path, timeout_s: float = 0.0) -> Iterator[bool]:
    """Hold the lock for the block; yields whether it was acquired."""
    descriptor = acquire_lock(path, timeout_s)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def write_json(path: Path, value: object, durable: bool = True) -> None:
    """Replace the file atomically; readable by this user only, since it may hold a token.

    Args:
        durable: whether it must survive a loss of power.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_json(path: Path) -> Any | None:
    """Return the file's value, or None if there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log, or an empty text if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 400 * lines))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _try_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A file that was deleted meanwhile is no lock: the next one would open a new file.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
