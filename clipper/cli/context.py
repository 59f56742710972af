"""What the global options choose: the cluster, how to reach it, and how to print."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import typer

from clipper.admin.connection import ClipperConnection
from clipper.admin.http import AdminHttp, Http
from clipper.cli.modes import ClusterChoice, make_manager
from clipper.cli.output import Output
from clipper.errors import ClipperException
from clipper.managers.base import ContainerManager
from clipper.managers.ports import is_free


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
