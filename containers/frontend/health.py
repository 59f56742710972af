"""Health check of the frontends' image: ``health.py [PORT [PATH]]``; status 0 is healthy.

Without arguments the command line of process 1 says which role runs, and on which port. Sockets
alone, without http.client: it runs every few seconds, and starts in a third of the time.
"""

from __future__ import annotations

import pathlib
import socket
import sys
from collections.abc import Sequence

TIMEOUT_S = 3.0
STORE_PORT = 6379
ROLES = {"query-frontend": (1337, "/readyz"), "management-frontend": (1338, "/readyz")}
"""Role → the port it has when its command line names none, and a path that answers 200."""


def probe(command: Sequence[str]) -> tuple[int, str]:
    """Return the port and path to ask, from the words of process 1; path empty: the store."""
    role = next((word for word in command if word in ROLES), None)
    if role is None:
        return _option(command, STORE_PORT), ""
    port, path = ROLES[role]
    return _option(command, port), path


def is_healthy(port: int, path: str) -> bool:
    """Return whether the process answers as it should."""
    question = b"PING\r\n"
    if path:
        question = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.sendall(question)
        answer = connection.recv(64)
    if path:
        return answer.split(b" ", 2)[1:2] == [b"200"]
    return answer.startswith((b"+PONG", b"-NOAUTH"))


def _option(command: Sequence[str], default: int) -> int:
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word == "--port" and following.isdigit():
            return int(following)
        if word.startswith("--port="):
            return int(word.partition("=")[2])
    return default


def main(arguments: Sequence[str]) -> int:
    """Ask once, and return the exit status."""
    if arguments:
        port, path = int(arguments[0]), "".join(arguments[1:2])
    else:
        words = pathlib.Path("/proc/1/cmdline").read_bytes().decode().split("\0")
        port, path = probe(words)
    try:
        return 0 if is_healthy(port, path) else 1
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
