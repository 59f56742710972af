"""Proves that a port is ours before workers share it (design decision 1).

With SO_REUSEPORT alone, a second cluster of the same user would silently take half of the first
one's connections. So the supervisor binds the port exclusively first, and only then lets its
workers in, by turning SO_REUSEPORT on for a socket that is bound but never listens: the kernel
hands it no connection, and it keeps every other exclusive bind out. Linux semantics, tested.
"""

from __future__ import annotations

import socket

from clipper.errors import ClipperException

_BACKLOG = 2048


def claim_shared_port(host: str, port: int, flag: str) -> socket.socket:
    """Return a socket that owns the port until it is closed, and lets SO_REUSEPORT sockets join.

    Args:
        host: address to bind.
        port: TCP port, not 0.
        flag: command line flag that chooses another port, for the error text.

    Raises:
        ClipperException: the port cannot be bound exclusively.
    """
    claim = _bind_exclusively(host, port, flag)
    # Left on, it would let another exclusive bind pass as long as nobody listens.
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return claim


def claim_lone_port(host: str, port: int, flag: str) -> socket.socket:
    """Return a listening socket that nobody shares, to be handed to one worker after another.

    Args and errors are those of `claim_shared_port`.
    """
    claim = _bind_exclusively(host, port, flag)
    try:
        claim.listen(_BACKLOG)
    except OSError as error:
        claim.close()
        raise ClipperException(f"Port {port} on {host} cannot be used: {error.strerror}") from error
    return claim


def require_free_port(host: str, port: int, flag: str) -> None:
    """Return if the port can be bound exclusively now.

    Raises:
        ClipperException: it cannot.
    """
    _bind_exclusively(host, port, flag).close()


def _bind_exclusively(host: str, port: int, flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    claim = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Only so that connections of an earlier run in TIME_WAIT do not count.
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        claim.bind((host, port))
    except OSError as error:
        claim.close()
        raise ClipperException(
            f"Port {port} on {host} cannot be used: {error.strerror}. Find its owner with "
            f"`ss -ltnp 'sport = :{port}'` and stop it, or choose another port with {flag}."
        ) from error
    return claim
