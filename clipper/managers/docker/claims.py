"""Letting one client at a time do a thing, wherever on the engine's network the clients are.

A claim is a container of a fixed name that lives while the client's connection to it does: its
only process reads its input, which ends with the client, however that ends. So a dead client
blocks nobody, and no clock has to be trusted.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import docker.errors
from docker.models.containers import Container

from clipper.errors import ClipperException
from clipper.managers.docker.engine import Engine, EngineAbsent
from clipper.managers.docker.inventory import discard

CLAIM_LABEL = "ai.clipper.claim"
"""On claims; value: the cluster. They are no part of it, and have none of its labels."""

_START_LIMIT_S = 10.0
_PAUSE_S = 0.1
_READ_UNTIL_END = ["python", "-ISc", "import sys; sys.stdin.read()"]


@contextlib.contextmanager
def claim(engine: Engine, image: str, cluster_name: str, subject: str) -> Iterator[bool]:
    """Claim the subject; yield whether nobody else has. The claim ends with the block.

    Args:
        image: any image with Python, on the engine.
        subject: part of a container's name.

    Raises:
        ClipperException: the engine refused.
    """
    name = f"clipper-claim-{cluster_name}-{subject}"
    container = _create(engine, image, cluster_name, name)
    if container is None:
        yield False
        return
    with contextlib.ExitStack() as stack:
        stack.callback(discard, engine, container)
        with engine.calling(f"claiming {subject}"):
            connection = container.attach_socket(params={"stdin": 1, "stream": 1})
            stack.callback(_close, connection)
            container.start()
        yield True


def _create(engine: Engine, image: str, cluster_name: str, name: str) -> Container | None:
    """Return the new claim; None: it is another client's."""
    give_up_at = time.monotonic() + _START_LIMIT_S
    while True:
        try:
            with engine.calling(f"making container {name}"):
                made: Container = engine.client.containers.create(
                    image,
                    command=[],
                    entrypoint=_READ_UNTIL_END,
                    name=name,
                    labels={CLAIM_LABEL: cluster_name},
                    stdin_open=True,
                    detach=False,
                    network_mode="none",
                    auto_remove=True,
                    healthcheck={"test": ["NONE"]},
                )
                return made
        except docker.errors.NotFound as error:
            raise ClipperException(f"The engine has no image {image} any more.") from error
        except EngineAbsent:
            raise
        except ClipperException as error:
            if "is already in use by container" not in error.msg:
                raise
        other = _get(engine, name)
        if other is not None and other.status == "running":
            return None
        if other is not None and time.monotonic() >= give_up_at:
            discard(engine, other)  # its client died before it could start it
            give_up_at = time.monotonic() + _START_LIMIT_S
        time.sleep(_PAUSE_S)


def _get(engine: Engine, name: str) -> Container | None:
    try:
        with engine.calling(f"looking at container {name}"):
            found: Container = engine.client.containers.get(name)
            return found
    except docker.errors.NotFound:
        return None


def _close(connection: Any) -> None:
    """Close the stream; the answer that it is a part of first, which flushes it."""
    response = getattr(connection, "_response", None)
    if response is not None:
        response.close()
    connection.close()


def remove_claims(engine: Engine, cluster_name: str) -> None:
    """Remove the claims of a cluster that is deleted."""
    with engine.calling("listing claims"):
        found = engine.client.containers.list(
            all=True, filters={"label": f"{CLAIM_LABEL}={cluster_name}"}, ignore_removed=True
        )
    for container in found:
        discard(engine, container)
