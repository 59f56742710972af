"""The Docker engine: one client, with a time limit on every call and errors in words.

Everything that speaks to the engine does so inside `Engine.calling`, so that an engine that is
away, hangs or refuses is told the same way everywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import docker
import docker.context
import docker.errors
import docker.utils
import requests
import urllib3

from clipper.errors import ClipperException

CALL_TIMEOUT_S = 60
"""No single answer of the engine may take longer; builds and pulls answer in pieces."""


TIMEOUTS = (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)
"""What a call raises that was not answered in time: the second one from within a stream."""


class EngineAbsent(ClipperException):
    """No engine answers."""


class _BoundedApi(docker.APIClient):
    """Docker's own waits for ever inside a log, since logs may be followed. Clipper reads them to
    their present end, so that silence is a fault there, too."""

    def _disable_socket_timeout(self, socket: Any) -> None:
        pass


class _BoundedClient(docker.DockerClient):
    def __init__(self, **arguments: Any) -> None:
        self.api = _BoundedApi(**arguments)


class Engine:
    """A connection to the Docker engine that Docker's own command would use: that of
    ``DOCKER_HOST``, else of ``DOCKER_CONTEXT`` or the context in use, else this machine's."""

    def __init__(
        self, client: docker.DockerClient | None = None, timeout_s: int = CALL_TIMEOUT_S
    ) -> None:
        """Connect, and make sure that the engine answers.

        Raises:
            EngineAbsent: it does not; the text says how to look for the cause.
        """
        self._timeout_s = timeout_s
        self.connection: Mapping[str, Any] = {}
        """Arguments of a further client of the same engine."""
        try:
            with self.calling("connecting"):
                self.connection = connection_arguments()
                self.client = client or _BoundedClient(timeout=timeout_s, **self.connection)
                self.client.ping()
        except EngineAbsent:
            raise
        except ClipperException as error:
            if isinstance(error.__cause__, docker.errors.APIError):
                raise
            # An address that cannot be one, or certificates that cannot be read.
            raise _absent("connecting", error.__cause__ or error) from error

    @contextlib.contextmanager
    def calling(self, what: str, limit_s: float | None = None) -> Iterator[None]:
        """Tell failures of the engine calls inside as `ClipperException`.

        `docker.errors.NotFound` passes: only the caller knows what an absence means.

        Args:
            what: the step, as in "starting container x".
            limit_s: the time limit of the calls inside, where it is not this client's.

        Raises:
            EngineAbsent: the engine does not answer, or not in time.
            ClipperException: it refused, or Docker's client did before it asked; holds the
                words of whoever refused.
        """
        try:
            yield
        except docker.errors.NotFound:
            raise
        except docker.errors.APIError as error:
            raise ClipperException(
                f"The Docker engine refused {what}: {error.explanation or error}"
            ) from error
        except TIMEOUTS as error:
            raise self._silent(what, limit_s) from error
        except (
            docker.errors.DockerException,
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,  # from within a stream, which nobody wraps
        ) as error:
            # While it connects, the client wraps what happened.
            if isinstance(error.__cause__, TIMEOUTS):
                raise self._silent(what, limit_s) from error
            if isinstance(error, docker.errors.DockerException) and error.__cause__ is None:
                raise ClipperException(f"Docker's client refused {what}: {error}") from error
            raise _absent(what, error) from error

    def _silent(self, what: str, limit_s: float | None) -> EngineAbsent:
        return EngineAbsent(
            f"The Docker engine did not answer within {limit_s or self._timeout_s} s while {what}. "
            "Look whether `docker info` answers, and restart the engine if it does not"
        )


def connection_arguments(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return address and certificates of the engine that Docker's own command would use.

    Raises:
        EngineAbsent: ``DOCKER_CONTEXT`` names no context. To fall back to this machine's engine
            would start a cluster where nobody looks for it.
    """
    arguments: dict[str, Any] = {**docker.utils.kwargs_from_env(environment=dict(environment))}
    if "base_url" in arguments:
        return arguments
    name = environment.get("DOCKER_CONTEXT") or None
    context = _context(name)
    if context is None and name is not None:
        raise EngineAbsent(
            f"There is no Docker context {name}, which DOCKER_CONTEXT names: `docker context ls` "
            "lists those that there are"
        )
    if context is not None and context.Host:
        arguments["base_url"] = context.Host
        if context.TLSConfig is not None:
            arguments["tls"] = context.TLSConfig
    return arguments


def _context(name: str | None) -> docker.context.Context | None:
    """Return the context, or the one in use; None: there is none (the stubs forget it)."""
    return docker.context.ContextAPI.get_context(name)


_DENIED = "Permission denied"


def _absent(what: str, reason: BaseException) -> EngineAbsent:
    if _DENIED in str(reason):
        return EngineAbsent(
            f"This user may not talk to the Docker engine (permission denied while {what}). Add it "
            "to the group docker (`sudo usermod -aG docker $USER`) and log in anew; `docker info` "
            "must answer"
        )
    return EngineAbsent(
        f"The Docker engine cannot be reached while {what} ({reason}). Start it, or let "
        "DOCKER_HOST name one; `docker info` must answer"
    )
