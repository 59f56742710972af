"""Keep-alive connections of a load generator: raw sockets and one epoll, no event loop.

A request costs two system calls and a few microseconds of Python, so that the generator leaves the
processors to what it measures.
"""

from __future__ import annotations

import select
import socket
import time

from benchmarks.wire import Reply, ReplyReader

_RECEIVE_BYTES = 1 << 16


class Connection:
    """One connection with at most one request in flight."""

    __slots__ = ("busy", "data", "free_s", "number", "since_s", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.busy = False
        self.since_s = 0.0
        """The latency of what is in flight counts from here."""
        self.free_s = time.perf_counter()
        """Since when nothing was in flight: when it was connected, or the last answer came."""
        self.number = 0
        """Which input is in flight."""
        self.data = b""
        """The last answer, or what has come of it."""


class Pool:
    """All connections of one run."""

    def __init__(self, host: str, port: int, size: int) -> None:
        """Connect all.

        Raises:
            OSError: the server is not there.
        """
        self._address = (host, port)
        # Made first, so that its number is low enough for `select`.
        self._epoll = select.epoll()
        self._by_number: dict[int, Connection] = {}
        self._read = ReplyReader().read
        self.connections = [Connection(self._connect()) for _ in range(size)]
        for connection in self.connections:
            self._watch(connection)

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(self._address, 10.0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        return sock

    def _watch(self, connection: Connection) -> None:
        number = connection.sock.fileno()
        self._by_number[number] = connection
        self._epoll.register(number, select.EPOLLIN)

    def send(self, connection: Connection, request: bytes) -> None:
        """Send one request.

        Raises:
            OSError: the server closed the connection; `renew` it.
        """
        connection.busy = True
        connection.data = b""
        sent = connection.sock.send(request)
        if sent < len(request):
            # Loopback takes megabytes at once; where it does not, the server is what is waited for.
            connection.sock.setblocking(True)
            connection.sock.sendall(memoryview(request)[sent:])
            connection.sock.setblocking(False)

    def wait(self, timeout_s: float) -> list[Connection]:
        """Return the connections that have something to read, after ``timeout_s`` at the latest.

        epoll counts whole milliseconds, which would be the larger part of the latencies measured
        here; ``select`` on the epoll itself takes microseconds.
        """
        if timeout_s > 0 and not select.select([self._epoll], [], [], timeout_s)[0]:
            return []
        by_number = self._by_number
        return [by_number[number] for number, _ in self._epoll.poll(0)]

    def receive(self, connection: Connection) -> Reply | None:
        """Read what is there; return the answer once it is complete.

        Raises:
            OSError: the server closed the connection; `renew` it.
            ValueError: the answer is not one of the servers measured here.
        """
        data = connection.sock.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        if connection.data:
            data = connection.data + data
        connection.data = data
        reply = self._read(data)
        if reply is None or len(data) < reply.size:
            return None
        connection.busy = False
        return reply

    def renew(self, connection: Connection) -> bool:
        """Replace a connection that the server closed; return whether a request was lost with it.

        Raises:
            OSError: the server is not there any more.
        """
        lost = connection.busy
        del self._by_number[connection.sock.fileno()]
        connection.sock.close()
        connection.sock = self._connect()
        connection.busy = False
        connection.data = b""
        connection.free_s = time.perf_counter()
        self._watch(connection)
        return lost

    def close(self) -> None:
        """Close all without waiting."""
        for connection in self.connections:
            connection.sock.close()
        self._epoll.close()
