"""The channel between a frontend worker and a model container: names, addresses, signs of life.

Liveness is HTTP/2 keepalive (design decision 4): both sides ping after a second of silence. A model
that computes for minutes is alive: while a batch is outstanding its container, which may be unable
to answer for the interpreter's lock, is only asked for by the kernel's own probes.
"""

from __future__ import annotations

import socket
from typing import Any

PROTOCOL_VERSION = 1
"""Version of `protos/clipper/v1`, sent in `Register` and checked by the worker."""

CONNECT_METHOD = "/clipper.v1.ModelContainerService/Connect"
"""Full name of the only method of the contract."""

KEEPALIVE_INTERVAL_S = 1.0
"""A side that heard nothing for so long sends a ping."""
KEEPALIVE_TIMEOUT_S = 1.5
"""A ping that is not answered within this ends the connection."""
BUSY_TIMEOUT_S = 60.0
"""The same while the other side computes: its model may hold the interpreter's lock."""


def host_port(host: str, port: int) -> str:
    """Return an address as gRPC wants it: IPv6 hosts in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def probe_dead_hosts(sock: Any) -> None:
    """Have the kernel end a TCP connection whose other host is gone, busy or not, in some seconds.

    Args:
        sock: a connected socket, or what an event loop shows of it.
    """
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", round(KEEPALIVE_INTERVAL_S)),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", round(KEEPALIVE_INTERVAL_S)),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 2),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", round(2e3 * KEEPALIVE_TIMEOUT_S)),
    ):
        if hasattr(socket, name):  # not every system has all of them
            sock.setsockopt(level, getattr(socket, name), value)
