"""`logs`: what the processes of the cluster wrote."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from clipper.cli import context
from clipper.cli.home import HOMES
from clipper.cli.modes import Mode
from clipper.cli.pod_logs import PodLogSource
from clipper.errors import ClipperException

_PAUSE_S = 0.5
_OF_CONTAINER = ":image_"
"""Follows the container's name in the names of logs that were copied from a Docker engine."""
_DOCKER_NAMES = {
    "query_frontend": "query-frontend",
    "mgmt_frontend": "management-frontend",
    "redis": "store",
    "metric_frontend": "prometheus",
}
"""Beginning of a container's name → name of the process."""


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog="Example: clipper logs my-model:2 --follow")(logs)


def logs(
    ctx: typer.Context,
    process: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL[:VERSION]|PROCESS]", help="Default: all of them."),
    ] = None,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Last lines of each.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Print the last log lines of models or of query-frontend, management-frontend, store.

    On Kubernetes also of a pod, by its name.
    """
    session = context.of(ctx)
    manager: Any = session.connection().cm  # logs are wanted most when the cluster is down
    with tempfile.TemporaryDirectory(prefix="clipper-logs-") as directory:
        source: LogSource | PodLogSource
        if session.choice.mode is Mode.KUBERNETES:
            source = PodLogSource(manager.pod_logs(), process)
        else:
            source = LogSource(manager.get_logs, directory, process)
        tails = source.tails(lines)
        if not source.names:
            command = HOMES[session.choice.mode].up
            raise ClipperException(
                f"Cluster {session.choice.name} has no logs. Start it with `{command}`"
            )
        if not tails:
            known = ", ".join(sorted(source.names))
            raise ClipperException(f"There is no log of {process}. There are: {known}")
        if session.output.is_json and not follow:
            session.output.json(tails)
            return
        for name, kept in tails.items():
            for line in kept:
                session.output.text(_labelled(name, line, len(tails)))
        if follow:
            with contextlib.suppress(KeyboardInterrupt):
                shown = set(tails)
                for name, line in source.new_lines():
                    shown.add(name)
                    session.output.text(_labelled(name, line, len(shown)))
                    sys.stdout.flush()  # a pipe's reader wants it now


def _labelled(name: str, line: str, count: int) -> str:
    return line if count == 1 else f"{name} | {line}"


class LogSource:
    """Copies of the logs that a target names, taken through the manager."""

    def __init__(self, get_logs, directory: str, target: str | None) -> None:  # type: ignore[no-untyped-def]
        self._get_logs = get_logs
        self._directory = directory
        self._target = target
        self._lengths: dict[str, int] = {}
        self.names: set[str] = set()

    def tails(self, lines: int) -> dict[str, list[str]]:
        """Return the last lines of every chosen log."""
        chosen = self.read()
        self._lengths = {name: len(text) for name, text in chosen.items()}
        return {name: tail(text, lines) for name, text in chosen.items()}

    def read(self) -> dict[str, str]:
        """Return the present text of every chosen log."""
        paths = [pathlib.Path(path) for path in self._get_logs(self._directory)]
        self.names = {path.stem for path in paths}
        return {
            path.stem: path.read_text(errors="replace")
            for path in sorted(paths)
            if self._target is None or is_log_of(path.stem, self._target)
        }

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """Yield (log, line) for ever as lines appear."""
        lengths = self._lengths
        while True:
            time.sleep(_PAUSE_S)
            for name, text in self.read().items():
                start = lengths.get(name, 0)
                # A log that became shorter was rotated and begins anew.
                fresh = text[start:] if len(text) >= start else text
                lengths[name] = len(text)
                for line in fresh.splitlines():
                    yield name, line


def is_log_of(stem: str, target: str) -> bool:
    """Whether a log file belongs to a process (``store``) or model (``m`` or ``m:1``)."""
    name, colon, version = target.partition(":")
    stem = stem.partition(_OF_CONTAINER)[0]
    base, dash, index = stem.rpartition("-")
    if not (dash and index.isdecimal()):
        base = stem
    base = _DOCKER_NAMES.get(base, base)
    if colon:
        return base in (f"model-{name}_{version}", f"{name}_{version}")
    model = base.removeprefix("model-").partition("_")[0]
    return base == name or ("_" in base and model == name)


def tail(text: str, count: int) -> list[str]:
    """Return the last lines."""
    return text.splitlines()[-count:] if count else []
