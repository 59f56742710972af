"""Command line of the embedded server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clipper.errors import ClipperException
from clipper.store.embedded import StoreListener, server_command


def options(listener: StoreListener) -> dict[str, str]:
    command = server_command(Path("/tmp/data"), listener)
    assert os.access(command[0], os.X_OK)
    return dict(zip(command[1::2], command[2::2], strict=False))


def test_a_socket_alone_opens_no_port() -> None:
    given = options(StoreListener(Path("/tmp/s.sock")))
    assert given["--port"] == "0"
    assert given["--unixsocket"] == "/tmp/s.sock"
    assert given["--dir"] == "/tmp/data"
    assert (given["--appendonly"], given["--appendfsync"]) == ("yes", "always")
    assert "--bind" not in given


def test_a_host_opens_a_port_beside_the_socket_or_alone() -> None:
    both = options(StoreListener(Path("/tmp/s.sock"), "127.0.0.1", 7))
    assert (both["--bind"], both["--port"], both["--unixsocket"]) == (
        "127.0.0.1",
        "7",
        "/tmp/s.sock",
    )
    alone = options(StoreListener(host="0.0.0.0"))
    assert (alone["--bind"], alone["--port"]) == ("0.0.0.0", "6379")
    assert "--unixsocket" not in alone


def test_a_server_that_nobody_could_reach_is_refused() -> None:
    with pytest.raises(ClipperException, match="--socket PATH, or --host ADDRESS"):
        StoreListener()


def test_socket_paths_that_the_kernel_would_cut_are_refused() -> None:
    with pytest.raises(ClipperException, match="Choose a shorter state directory"):
        StoreListener(Path("/tmp/" + "ü" * 50))
