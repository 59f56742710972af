"""What happens to containers in the field, done to one container; undone when the block ends."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import docker.errors
import pytest
from _pytest.mark import ParameterSet
from docker.models.containers import Container

from tests.e2e.clusters import eventually


def pid(container: Container) -> int:
    """Return the host's process id of a container's first process; 0: it does not run."""
    container.reload()
    return int(container.attrs["State"]["Pid"])


def crash(container: Container) -> None:
    """SIGKILL the process from outside, as the kernel would, and wait until it runs again.

    The engine's own `kill` counts as an operator's wish and never triggers a restart.
    """
    before = pid(container)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: pid(container) not in (0, before), f"{container.name} runs again")


@contextlib.contextmanager
def killed(container: Container) -> Iterator[None]:
    """`docker kill`, later `docker start`."""
    container.kill()
    try:
        eventually(lambda: pid(container) == 0, f"{container.name} is down")
        yield
    finally:
        container.start()


@contextlib.contextmanager
def paused(container: Container) -> Iterator[None]:
    """`docker pause`: it keeps its connections and does nothing."""
    container.pause()
    try:
        yield
    finally:
        container.unpause()


@contextlib.contextmanager
def disconnected(container: Container) -> Iterator[None]:
    """Take a container off its network; everybody has to find it again afterwards."""
    container.reload()
    ((name, settings),) = container.attrs["NetworkSettings"]["Networks"].items()
    network = container.client.networks.get(name)
    network.disconnect(container)
    try:
        yield
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            network.connect(container, aliases=settings.get("Aliases"))


DISTURBANCES = {"killed": killed, "paused": paused, "disconnected": disconnected}
"""Those that last until somebody ends them."""


def kinds(always: str) -> list[ParameterSet]:
    """Return each kind of disturbance as a test's parameter; all but one are slow.

    What a kind does to the wire is the same wherever it strikes, so each run has every kind
    somewhere and every part disturbed somehow; `make test-docker` has all of the product.
    """
    return [
        pytest.param(kind, marks=[] if kind == always else [pytest.mark.slow])
        for kind in DISTURBANCES
    ]
