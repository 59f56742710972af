"""Command line of the embedded server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clipper.errors import ClipperException
from clipper.store.embedded import server_command


def test_command_names_an_executable_and_listens_on_the_socket_only() -> None:
    command = server_command(Path("/tmp/data"), Path("/tmp/s.sock"))
    assert os.access(command[0], os.X_OK)
    options = dict(zip(command[1::2], command[2::2], strict=False))
    assert options["--port"] == "0"
    assert options["--unixsocket"] == "/tmp/s.sock"
    assert options["--dir"] == "/tmp/data"
    assert options["--appendonly"] == "yes"


def test_socket_paths_that_the_kernel_would_cut_are_refused() -> None:
    with pytest.raises(ClipperException, match="Choose a shorter state directory"):
        server_command(Path("/tmp"), Path("/tmp/" + "ü" * 50))
