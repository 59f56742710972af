"""Stock images for tests, built once per run by the product's own code, and what that needs.

``python -m tests.stock FAMILY...`` builds them beforehand: tests then find every layer made.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import http.server
import ipaddress
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from clipper.managers.docker import images
from clipper.managers.docker.engine import Engine, EngineAbsent

KEEP = "CLIPPER_TEST_IMAGES"
"""``keep``: take images that exist as they are; for work on tests only."""

TEST_LABEL = "ai.clipper.test"
"""On whatever tests start themselves."""

_USUAL_PORT = 18763


@functools.cache
def engine_problem() -> str | None:
    """Return why Docker tests cannot run here; None: they can."""
    with dropped_sockets():
        try:
            Engine().client.close()
        except EngineAbsent as error:
            return str(error)
        return None


@contextlib.contextmanager
def dropped_sockets() -> Iterator[None]:
    """Allow for the socket that the Docker client leaves open when connecting fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


def wheel_folder() -> Path | None:
    """Return pip's first find-links folder of this machine, if it has one.

    A machine may hold wheels there that no package index has, such as a PyTorch for processors.
    """
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        if key.rpartition(".")[2] == "find-links":
            for place in value.strip("'").split():
                if Path(place).is_dir():
                    return Path(place)
    return None


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: pytest's output is not the place."""


def _server(address: str, handler: Callable[..., Any]) -> http.server.ThreadingHTTPServer:
    """Listen on the usual port if it is free: the engine reuses layers only at an equal URL."""
    try:
        return http.server.ThreadingHTTPServer((address, _USUAL_PORT), handler)
    except OSError:
        return http.server.ThreadingHTTPServer((address, 0), handler)


@contextlib.contextmanager
def served(folder: Path, address: str) -> Iterator[str]:
    """Serve a folder on one address of this machine and yield the URL."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with _server(address, handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(10)


def bridge_address(client: docker.DockerClient) -> str:
    """Return the address under which builds and containers reach this machine."""
    settings = client.networks.get("bridge").attrs["IPAM"]["Config"][0]
    # The engine names the gateway only after some container has used it.
    return str(settings.get("Gateway") or next(ipaddress.ip_network(settings["Subnet"]).hosts()))


@contextlib.contextmanager
def builds_find_wheels(client: docker.DockerClient) -> Iterator[None]:
    """Let pip inside image builds find the wheels that pip on this machine finds."""
    folder = wheel_folder()
    if folder is None:
        yield
        return
    address = bridge_address(client)
    with served(folder, address) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", url)
        patch.setenv("PIP_TRUSTED_HOST", address)
        yield


def said_inside(client: docker.DockerClient, image: str, entrypoint: str, *words: str) -> str:
    """Return what a command prints in a container of the image; it must end with status 0."""
    container = client.containers.run(
        image, list(words), entrypoint=entrypoint, detach=True, network_mode="none",
        labels={TEST_LABEL: "said"},
    )  # fmt: skip
    try:
        # Following the log of a container that ends at once may miss what it said.
        status = container.wait(timeout=60)["StatusCode"]
        assert status == 0, container.logs().decode()
        return bytes(container.logs(stdout=True, stderr=False)).decode().strip()
    finally:
        container.remove(force=True)


class StockImages:
    """Builds each of Clipper's own images when a test first needs it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._made: set[tuple[str, ...]] = set()
        self._keep = os.environ.get(KEEP) == "keep"

    @property
    def engine(self) -> Engine:
        return self._engine

    def need(self, *families: str) -> None:
        """Make sure that these families' images for this Python exist, and their bases."""
        chosen = images.recipes(families, images.supported_python())
        for recipe in images.with_bases(chosen):
            if recipe.tags not in self._made:
                self._build(recipe)
                self._made.add(recipe.tags)

    def _build(self, recipe: images.Recipe) -> None:
        if self._keep and all(self.exists(tag) for tag in recipe.tags):
            return
        images.build_stock_image(self._engine, recipe, images.Sources(), os.environ)

    def exists(self, tag: str) -> bool:
        """Return whether the engine has the image."""
        try:
            self._engine.client.images.get(tag)
        except docker.errors.ImageNotFound:
            return False
        return True

    @classmethod
    @contextlib.contextmanager
    def opened(cls) -> Iterator[StockImages]:
        """Yield the images of the engine that answers here."""
        engine = Engine()
        try:
            with builds_find_wheels(engine.client):
                yield cls(engine)
        finally:
            engine.client.close()


if __name__ == "__main__":
    with StockImages.opened() as stock:
        stock.need(*sys.argv[1:])
