"""A Docker engine that stops in the middle of an answer, which no real one does on demand."""

from __future__ import annotations

import contextlib
import enum
import json
import socket
import threading
from collections.abc import Iterator

CONTAINER = "a" * 64

_OBJECT = b'{"stream": "Step 1/2 : FROM x\\n", "status": "Pulling"}\n'
_LOG_PIECE = b"\x01\0\0\0\0\0\0\x06begun\n"
_KNOWN: dict[str, object] = {
    "/version": {"ApiVersion": "1.41"},
    "/_ping": "OK",
    "/info": {},
    f"/containers/{CONTAINER}/json": {
        "Id": CONTAINER,
        "Name": "/x-1",
        "Image": "sha256:b",
        "Config": {"Tty": False},
    },
}


class Break(enum.Enum):
    """What happens in the middle of a stream."""

    SILENCE = enum.auto()
    DEATH = enum.auto()


class BrokenEngine:
    """Answers plain questions, and breaks in every stream after its first piece."""

    def __init__(self, how: Break) -> None:
        self._how = how
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(10)
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as requests, contextlib.suppress(OSError):
            while not self._over.is_set() and (line := requests.readline()):
                length = 0
                while header := requests.readline().strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                requests.read(length)
                path = line.split()[1].decode().partition("?")[0]
                known = _KNOWN.get(path, _KNOWN.get(path.removeprefix("/v1.41")))
                if known is None:
                    self._break_off(client, _LOG_PIECE if path.endswith("/logs") else _OBJECT)
                    return
                body = json.dumps(known).encode()
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def _break_off(self, client: socket.socket, piece: bytes) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        if self._how is Break.SILENCE:
            self._over.wait()


@contextlib.contextmanager
def broken_engine(how: Break) -> Iterator[BrokenEngine]:
    """Yield an engine that breaks so; closed afterwards."""
    engine = BrokenEngine(how)
    try:
        yield engine
    finally:
        engine.close()
