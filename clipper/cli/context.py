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
from clipper.managers.ports import is_free

DEFAULT_CLUSTER = "default-cluster"


class Mode(enum.StrEnum):
    """Where the cluster's processes run."""

    LOCAL = "local"


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterChoice:
    """Which cluster the command is about. Ports and the rest matter to `up` only."""

    name: str = DEFAULT_CLUSTER
    state_dir: str | None = None
    mode: Mode = Mode.LOCAL
    start_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Constructor arguments of the manager beyond name and state directory."""


def make_local_manager(choice: ClusterChoice) -> LocalContainerManager:
    """Return the manager of the chosen cluster."""
    return LocalContainerManager(choice.name, state_dir=choice.state_dir, **choice.start_options)


@dataclasses.dataclass(slots=True)
class Context:
    """Given to every command. Tests replace what it is made of."""

    choice: ClusterChoice = dataclasses.field(default_factory=ClusterChoice)
    output: Output = dataclasses.field(default_factory=Output)
    verbose: bool = False
    make_manager: Callable[[ClusterChoice], ContainerManager] = make_local_manager
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
