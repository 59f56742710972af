"""Waiting until a container of the cluster's core does its work, not only runs."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import cast

import docker.errors
from docker.models.containers import Container

from clipper.errors import ClipperException, ContainerStartError
from clipper.managers.base import STORE_MISSING
from clipper.managers.docker.engine import Engine, EngineAbsent
from clipper.managers.docker.failures import describe_end, log_end, quote

START_LIMIT_S = 60.0
_STORE_LIMIT_S = 20.0
"""How long a frontend may say that it does not reach the store."""

_RESTARTS_ALLOWED = 1
_PAUSE_S = 0.05
_PROBE_TIMEOUT_S = 2.0

Probe = Callable[[], str | None]
"""Returns None when the container is ready, else why not."""


def wait_until_ready(engine: Engine, container: Container, what: str, probe: Probe) -> None:
    """Return when the probe says nothing any more.

    Args:
        what: the container's role in words.

    Raises:
        ContainerStartError: it died, or is not ready in time; holds its last log lines.
    """
    started = time.monotonic()
    while (reason := probe()) is not None:
        death = _death(engine, container)
        waited_s = time.monotonic() - started
        limit_s = _STORE_LIMIT_S if STORE_MISSING in reason else START_LIMIT_S
        if death is None and waited_s < limit_s:
            time.sleep(_PAUSE_S)
            continue
        log = log_end(engine, container)
        fault = death or f"was not ready after {waited_s:.0f} s: {reason}"
        raise ContainerStartError(
            f"While the cluster started, the {what} {fault}. {quote(container, log)}"
        )


def answers(host: str, port: int, path: str) -> Probe:
    """Return a probe that asks an HTTP server which this client reaches."""

    def ask() -> str | None:
        connection = http.client.HTTPConnection(host, port, timeout=_PROBE_TIMEOUT_S)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            if reply.status == http.client.OK:
                return None
            text = reply.read(300).decode(errors="replace").strip()
            return f"http://{host}:{port}{path} answers {reply.status}: {text}"
        except (OSError, http.client.HTTPException) as error:
            return f"http://{host}:{port}{path} cannot be reached from here ({error})"
        finally:
            connection.close()

    return ask


def healthy(engine: Engine, container: Container) -> Probe:
    """Return a probe that runs the image's own health check inside the container, now."""
    command = (container.attrs["Config"].get("Healthcheck") or {}).get("Test", [])[1:]

    def check() -> str | None:
        if not command:
            return None
        try:
            with engine.calling(f"checking container {container.name}"):
                result = container.exec_run(command)
        except docker.errors.NotFound:
            return "the container is gone"
        except EngineAbsent:
            raise
        except ClipperException as error:  # it restarts at this moment
            return error.msg
        if result.exit_code == 0:
            return None
        said = cast(bytes, result.output or b"").decode(errors="replace").strip()
        return said or f"its health check ends with status {result.exit_code}"

    return check


def _death(engine: Engine, container: Container) -> str | None:
    try:
        with engine.calling(f"looking at container {container.name}"):
            container.reload()
    except docker.errors.NotFound:
        return "was removed by somebody else"
    repeated = container.attrs["RestartCount"] > _RESTARTS_ALLOWED
    if not repeated and container.status not in ("exited", "dead"):
        return None
    return describe_end(container.attrs)
