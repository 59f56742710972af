"""One Redis-compatible server: clients to it, and its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import redis.asyncio as redis_async
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from clipper.errors import ClipperException, StoreUnavailable


class Server:
    """The server of a cluster's store, by its address.

    Args:
        url: ``redis://[user:password@]host:port/db``, ``rediss://…`` or ``unix:///path``.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.address = _address(url)
        """Where the server is, without credentials."""

    def client(
        self,
        *,
        connect_timeout_s: float,
        answer_timeout_s: float,
        max_connections: int,
        retries: int,
    ) -> redis_async.Redis:
        """Return a client with connections of its own.

        Args:
            connect_timeout_s: longest wait for a new connection, or for one that others use.
            answer_timeout_s: longest silence of the server.
            max_connections: further calls wait.
            retries: silent repetitions of a call whose connection broke.

        Raises:
            ClipperException: the URL is of no known form.
        """
        try:
            pool = redis_async.BlockingConnectionPool.from_url(
                self._url,
                max_connections=max_connections,
                timeout=connect_timeout_s,
                socket_timeout=answer_timeout_s,
                socket_connect_timeout=connect_timeout_s,
                retry=Retry(NoBackoff(), retries),
                protocol=2,
            )
        except ValueError as error:
            raise ClipperException(
                f"'{self.address}' is not the address of a configuration store: {error}. Use "
                "redis://host:port/0, rediss://host:port/0 or unix:///path/to/socket."
            ) from error
        return redis_async.Redis.from_pool(pool)

    @contextlib.contextmanager
    def translated(self, next_step: str = "then try again") -> Iterator[None]:
        """Turn errors of the client library into StoreUnavailable."""
        try:
            with cancellable():
                yield
        except (RedisError, OSError) as error:  # OSError includes every time-out
            raise StoreUnavailable(self._explain(error, next_step)) from error

    def _explain(self, error: Exception, next_step: str) -> str:
        detail = (str(error) or type(error).__name__).rstrip(".")
        if is_refusal(error):
            return (
                f"The configuration store at {self.address} refused the operation: {detail}. "
                "Check the user and password in its address, that it may be written to, and that "
                "its user may use the groups @read, @write, @transaction, @pubsub and @scripting."
            )
        return (
            f"The configuration store at {self.address} did not answer: {detail}. Check that the "
            f"server runs there and that it can be reached from this machine, {next_step}."
        )


def is_refusal(error: Exception) -> bool:
    """Whether a server answered, and said no; at the start of a connection that is wrapped."""
    causes = (error, error.__cause__)
    return any(isinstance(cause, (AuthenticationError, ResponseError)) for cause in causes)


@contextlib.contextmanager
def cancellable() -> Iterator[None]:
    """Pass a cancellation on that was swallowed inside.

    The client library sends with `asyncio.wait_for`, which on Python 3.11 returns normally when
    the cancellation meets the end of the wait (python/cpython#86296). Without this a worker's
    task that renews its lease may outlive its own cancellation.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
