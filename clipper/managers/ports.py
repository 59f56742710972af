"""Ports of this host: is one free for us alone, and which one is.

A probe is a promise about now only: another process may take the port before the server binds it.
The server's own bind is what decides; the probe gives the clear message first.
"""

from __future__ import annotations

import dataclasses
import errno
import random
import socket
import time
from collections.abc import Sequence

from clipper.errors import ClipperException

_WILDCARDS = {"", "0.0.0.0", "::"}

_FIRST_FREE = 10_000
_FIRST_EPHEMERAL = 32_768
"""Linux's default; see net.ipv4.ip_local_port_range."""

_RANDOM = random.SystemRandom()
"""Not the shared source: programs that seed it alike would meet at one port."""


@dataclasses.dataclass(frozen=True, slots=True)
class PortClaim:
    """A port that a process of ours is about to listen on."""

    port: int
    purpose: str
    """Who will listen, such as ``query frontend``."""
    parameter: str
    """Constructor parameter that chooses the port."""
    flag: str
    """Command line flag that chooses the port."""


def require_free(host: str, claims: Sequence[PortClaim], patience_s: float = 0.0) -> None:
    """Return if every claimed port can be bound exclusively on the host, within ``patience_s``.

    Raises:
        ClipperException: one cannot; the text names port, owner-to-be, parameter and remedy.
    """
    give_up_s = time.monotonic() + patience_s
    for claim in claims:
        while (reason := _bind_error(host, claim.port)) and time.monotonic() < give_up_s:
            time.sleep(0.05)
        if reason is not None:
            raise ClipperException(
                f"Port {claim.port} on {host} cannot be used by the {claim.purpose}: {reason}. "
                f"Find its owner with `ss -ltnp 'sport = :{claim.port}'` and stop it, or choose "
                f"another port with {claim.parameter}= (on the command line {claim.flag})."
            )


def is_free(host: str, port: int) -> bool:
    """Return whether the port can be bound and listened on without sharing it."""
    return _bind_error(host, port) is None


def free_port(host: str = "127.0.0.1", count: int = 1) -> int:
    """Return the first of ``count`` consecutive ports that are free now.

    They lie below the range from which the kernel takes the ports of outgoing connections: between
    the probe and the server's own bind, none of those can take one.

    Raises:
        ClipperException: none was found.
    """
    for _ in range(1000):
        first = _RANDOM.randrange(_FIRST_FREE, _FIRST_EPHEMERAL - count + 1)
        if all(is_free(host, port) for port in range(first, first + count)):
            return first
    raise ClipperException(f"No {count} consecutive free ports were found on {host}.")


def reachable_host(host: str) -> str:
    """Return the address at which this host reaches a server bound to ``host``."""
    if host not in _WILDCARDS:
        return host
    return "::1" if host == "::" else "127.0.0.1"


def join_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_error(host: str, port: int) -> str | None:
    """Bind as a server does; SO_REUSEADDR passes over TIME_WAIT but never over a listener."""
    try:
        with _socket_for(host) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OverflowError:
        return "it is not a port number (1 to 65535)"
    except OSError as error:
        return "it is taken" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
    return None


def _socket_for(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)
