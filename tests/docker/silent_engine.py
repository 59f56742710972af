"""A socket in front of the Docker engine that can stop answering, in the middle of a call too."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class EngineProxy:
    """Forwards connections to the engine, until told to hold everything back."""

    def __init__(self, path: Path, target: str) -> None:
        self.url = f"unix://{path}"
        self._target = target
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._open = threading.Event()
        self._open.set()
        self._closed = False
        self._silent_at = ""
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def fall_silent(self) -> None:
        """Forward nothing from now on; connections stay open and new ones are accepted."""
        self._open.clear()

    def fall_silent_at(self, request: str) -> None:
        """Forward until a request line holds these words; then nothing, that request included."""
        self._silent_at = request

    def speak(self) -> None:
        """Forward again, what was held back first."""
        self._silent_at = ""
        self._open.set()

    def close(self) -> None:
        self._closed = True
        self._open.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(10)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._forward, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._target)
            while not self._closed:
                ready, _, _ = select.select([client, engine], [], [], 0.2)
                for source in ready:
                    data = source.recv(65536)
                    if source is client and self._silent_at and self._silent_at in _head(data):
                        self.fall_silent()
                    self._open.wait()
                    if not data or self._closed:
                        return
                    (engine if source is client else client).sendall(data)


def _head(data: bytes) -> str:
    return data.partition(b"\r\n")[0].decode(errors="replace")


@contextlib.contextmanager
def engine_proxy(directory: Path, target: str) -> Iterator[EngineProxy]:
    """Yield a proxy to the engine's socket; closed afterwards."""
    proxy = EngineProxy(directory / "engine.sock", target)
    try:
        yield proxy
    finally:
        proxy.close()
