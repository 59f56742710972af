"""The error tree. No status codes here: each edge (HTTP, gRPC, client) owns one mapping.

::

    ClipperException                 base; `.msg` holds the text
    ├── UnconnectedException         client: connect() or start_clipper() first
    ├── InvalidRequest               the caller's fault: a malformed or inadmissible request
    │   └── JsonFault                the body is not the JSON that was asked for
    ├── StoreUnavailable             the configuration store cannot be reached
    ├── NotInForce                   written, but a frontend has not applied it in time
    ├── ReplicaLost                  the replica died with the batch outstanding
    ├── ModelError                   the user's model raised, or answered nonsense
    └── ContainerStartError          a model container or server process did not come up
"""

from __future__ import annotations


class ClipperException(Exception):  # noqa: N818 - the original's public name
    """Base of every error that Clipper raises on purpose."""

    def __init__(self, msg: str, *args: object) -> None:
        super().__init__(msg, *args)
        self.msg = msg

    def __str__(self) -> str:
        return self.msg


class UnconnectedException(ClipperException):
    """A client method was called before there was a cluster to talk to."""

    def __init__(self) -> None:
        super().__init__(
            "No connection to Clipper cluster. Call ClipperConnection.connect to connect to an "
            "existing cluster or ClipperConnnection.start_clipper to create a new one"
        )


class InvalidRequest(ClipperException):
    """The request is well formed but cannot be honoured; the text says why."""


class JsonFault(InvalidRequest):
    """The request body is not the JSON that the operation expects."""


class StoreUnavailable(ClipperException):
    """The configuration store did not answer; nothing was changed."""


class NotInForce(ClipperException):
    """The change is stored, but the named frontend worker has not applied it yet."""


class ReplicaLost(ClipperException):
    """The replica's connection ended before it answered the batch."""


class ModelError(ClipperException):
    """The user's model failed on one input."""


class ContainerStartError(ClipperException):
    """A process that Clipper started did not become ready; the text holds its last log lines."""
