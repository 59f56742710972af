"""What the global options choose: the cluster, how to reach it, and how to print."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

import typer

from clipper.admin.connection import ClipperConnection
from clipper.admin.http import AdminHttp, Http
from clipper.cli.output import Output
from clipper.errors import ClipperException
from clipper.managers.base import ContainerManager
from clipper.managers.local import LocalContainerManager
from clipper.managers.ports import is_free, reachable_host

_LOCAL_ONLY = {"isolated_environments": "--isolated"}
_DOCKER_ONLY = {
    "docker_network": "--network",
    "redis_ip": "--redis-ip",
    "redis_port": "--redis-port",
    "prometheus_port": "--prometheus-port",
}
"""Constructor argument that one kind of manager has → the option of `up` that gives it."""

DEFAULT_CLUSTER = "default-cluster"


class Mode(enum.StrEnum):
    """Where the cluster's processes run."""

    LOCAL = "local"
    DOCKER = "docker"


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterChoice:
    """Which cluster the command is about. Ports and the rest matter to `up` only."""

    name: str = DEFAULT_CLUSTER
    state_dir: str | None = None
    mode: Mode = Mode.LOCAL
    start_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Constructor arguments of the manager beyond name and state directory; ``host`` is the
    address to listen on. None where the user said nothing."""


def make_manager(choice: ClusterChoice) -> ContainerManager:
    """Return the manager of the chosen cluster.

    Raises:
        ClipperException: an option that does not fit the mode, or no Docker engine answers.
    """
    given = {name: value for name, value in choice.start_options.items() if value is not None}
    for name, flag in (_DOCKER_ONLY if choice.mode is Mode.LOCAL else _LOCAL_ONLY).items():
        if name in given:
            raise ClipperException(f"{flag} does not fit --mode {choice.mode}; leave it out")
    if choice.mode is Mode.LOCAL:
        return LocalContainerManager(choice.name, state_dir=choice.state_dir, **given)
    # Loaded only here: it is a third of the time that `clipper --help` takes.
    from clipper.managers.docker import DockerContainerManager

    host = given.pop("host", None)
    if host is not None:
        given |= {"docker_ip_address": reachable_host(host), "bind_address": host}
    return DockerContainerManager(choice.name, **given)


@dataclasses.dataclass(slots=True)
class Context:
    """Given to every command. Tests replace what it is made of."""

    choice: ClusterChoice = dataclasses.field(default_factory=ClusterChoice)
    output: Output = dataclasses.field(default_factory=Output)
    verbose: bool = False
    make_manager: Callable[[ClusterChoice], ContainerManager] = make_manager
    make_connection: Callable[[ContainerManager], ClipperConnection] = ClipperConnection
    http: Http = dataclasses.field(default_factory=AdminHttp)
    port_is_free: Callable[[str, int], bool] = is_free

    def connection(self, **start_options: Any) -> ClipperConnection:
        """Return a client that is not connected yet."""
        choice = dataclasses.replace(self.choice, start_options=start_options)
        return self.make_connection(self.make_manager(choice))

    def connected(self) -> ClipperConnection:
        """Return a connected client; ClipperException when the cluster does not run."""
        connection = self.connection()
        connection.connect()
        return connection


def of(ctx: typer.Context) -> Context:
    """Return the context that the global options made."""
    context = ctx.obj
    if not isinstance(context, Context):
        raise ClipperException("The command was started without its global options")
    return context
