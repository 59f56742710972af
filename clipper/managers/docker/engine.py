"""The Docker engine: one client, with a time limit on every call and errors in words.

Everything that speaks to the engine does so inside `Engine.calling`, so that an engine that is
away, hangs or refuses is told the same way everywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker
import docker.errors
import requests
import urllib3

from clipper.errors import ClipperException

CALL_TIMEOUT_S = 60
"""No single answer of the engine may take longer; builds and pulls answer in pieces."""


TIMEOUTS = (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)
"""What a call raises that was not answered in time: the second one from within a stream."""


class EngineAbsent(ClipperException):
    """No engine answers."""


class Engine:
    """A connection to the Docker engine that the environment names (``DOCKER_HOST``)."""

    def __init__(
        self, client: docker.DockerClient | None = None, timeout_s: int = CALL_TIMEOUT_S
    ) -> None:
        """Connect, and make sure that the engine answers.

        Raises:
            EngineAbsent: it does not; the text says how to look for the cause.
        """
        self._timeout_s = timeout_s
        with self.calling("connecting"):
            self.client = client or docker.from_env(timeout=timeout_s)
            self.client.ping()

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Tell failures of the engine calls inside as `ClipperException`.

        `docker.errors.NotFound` passes: only the caller knows what an absence means.

        Args:
            what: the step, as in "starting container x".

        Raises:
            EngineAbsent: the engine does not answer, or not in time.
            ClipperException: it refused; holds the engine's own words.
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
            raise self._silent(what) from error
        except (
            docker.errors.DockerException,
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,  # from within a stream, which nobody wraps
        ) as error:
            # While it connects, the client wraps what happened.
            if isinstance(error.__cause__, TIMEOUTS):
                raise self._silent(what) from error
            raise EngineAbsent(
                f"The Docker engine cannot be reached while {what} ({error}). Start it, or let "
                "DOCKER_HOST name one; `docker info` must answer"
            ) from error

    def _silent(self, what: str) -> EngineAbsent:
        return EngineAbsent(
            f"The Docker engine did not answer within {self._timeout_s} s while {what}. "
            "Look whether `docker info` answers, and restart the engine if it does not"
        )
