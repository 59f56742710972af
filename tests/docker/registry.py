"""A real registry: Debian's ``docker-registry``. Engines allow plain HTTP on this machine."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests import tiers
from tests.e2e.clusters import eventually, free_port

USER, PASSWORD = "clipper", "secret"
_PASSWORDS = f"{USER}:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


def program() -> str:
    """Return the registry's program; without it skip the test, or fail where Docker must run."""
    found = shutil.which("docker-registry")
    if found is None:
        reason = "Debian's package docker-registry is not installed"
        if "docker" in tiers.required(os.environ):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


@contextlib.contextmanager
def registry(home: Path, protected: bool = False) -> Iterator[str]:
    """Run a registry that keeps its data in ``home``, and yield its address.

    Args:
        protected: whether it asks for `USER` and `PASSWORD`.
    """
    address = f"127.0.0.1:{free_port()}"
    (home / "passwords").write_text(_PASSWORDS)
    protection = f"auth: {{htpasswd: {{realm: test, path: {home / 'passwords'}}}}}\n"
    configuration = home / "registry.yml"
    configuration.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {home / 'data'}}}}}\n"
        f"http: {{addr: '{address}', secret: test}}\n" + (protection if protected else "")
    )
    with (home / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [program(), "serve", str(configuration)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: _answers(address), f"an answer of the registry at {address}")
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/v2/", timeout=5).status_code in (200, 401)
    except requests.ConnectionError:
        return False


class _Broken(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: pytest's output is not the place."""


@contextlib.contextmanager
def troubled_registry() -> Iterator[str]:
    """Run something that breaks every connection, and yield its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Broken) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)
