"""Why a container does not stay up, in words, from what the engine tells of it.

The engine restarts a container by itself, so that one look at it may fall between two deaths; what
counts is the run that ended last.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import docker.errors
from docker.models.containers import Container

from clipper.errors import ClipperException
from clipper.managers.deaths import (
    DEATHS_THAT_COUNT,
    HEALTHY_AFTER_S,
    MISSING_PACKAGE_STATUS,
    explain_exit,
    last_error,
    so_far,
)
from clipper.managers.docker.engine import Engine, EngineAbsent

_LOG_LINES = 80
_NO_CONTAINER = (
    "The image's command ends by itself, without a word: is its base image one of Clipper's, or "
    "one that serves a model?"
)
_SIGNALLED = 128
"""A status above this is that of a process that a signal ended."""


def explain_failure(engine: Engine, containers: Sequence[Container]) -> str | None:
    """Return why these replicas of one version do not stay up; None: they do, so far as known."""
    suspects = [container for container in containers if early_deaths(container.attrs)]
    hopeless = [c for c in suspects if c.attrs["State"]["ExitCode"] == MISSING_PACKAGE_STATUS]
    stopped = [c for c in containers if c.status in ("exited", "dead")]
    if not hopeless and not stopped:
        if sum(early_deaths(c.attrs) for c in suspects) < DEATHS_THAT_COUNT:
            return None
        suspects.sort(key=lambda c: early_deaths(c.attrs), reverse=True)
    culprit = [*hopeless, *stopped, *suspects][0]
    log = log_end(engine, culprit)
    text = f"it {describe_end(culprit.attrs, log)}. {quote(culprit, log)}"
    if exit_status(culprit.attrs["State"]) == 0 and not log.strip():
        text += f" {_NO_CONTAINER}"
    return text


def early_deaths(attributes: Mapping[str, Any]) -> int:
    """Return how often a container that waits for its restart has died, if its run was short.

    0 for one that runs: restarts long ago, or a recovery that has just begun, are no failure.
    """
    state = attributes["State"]
    if state["Status"] != "restarting" or ran_s(state) >= HEALTHY_AFTER_S:
        return 0
    return int(attributes["RestartCount"])


def ran_s(state: Mapping[str, Any]) -> float:
    """Return the length of the run that ended last, in seconds."""
    started, finished = _moment(state["StartedAt"]), _moment(state["FinishedAt"])
    return (finished - started).total_seconds()


def uptime_s(state: Mapping[str, Any], now: datetime.datetime) -> float | None:
    """Return how long the container has run; None: it does not."""
    if state["Status"] not in ("running", "paused"):
        return None
    return max(0.0, (now - _moment(state["StartedAt"])).total_seconds())


def exit_status(state: Mapping[str, Any]) -> int:
    """Return the last exit status, negative for a signal as `subprocess` has it."""
    code = int(state["ExitCode"])
    return _SIGNALLED - code if code > _SIGNALLED else code


def describe_end(attributes: Mapping[str, Any], log: str = "") -> str:
    """Return how a container ended, and how often it was restarted."""
    state, restarts = attributes["State"], attributes["RestartCount"]
    if state.get("OOMKilled"):
        limit = attributes["HostConfig"].get("Memory") or 0
        which = f"its limit of {limit / 2**20:.0f} MiB" if limit else "what the host has"
        text = f"was killed because it needed more memory than {which}"
    elif state.get("Error"):
        text = f"cannot be started: {state['Error']}"
    else:
        text = explain_exit(exit_status(state), log)
    if restarts:
        text += f", {so_far(restarts)}"
    return text


def log_end(engine: Engine, container: Container) -> str:
    """Return the last lines of a container's log, or why they cannot be read."""
    try:
        with engine.calling(f"reading the log of container {container.name}"):
            raw: bytes = container.logs(tail=_LOG_LINES)
            return raw.decode(errors="replace")
    except docker.errors.NotFound:
        return "(the container was removed)"
    except EngineAbsent:
        raise
    except ClipperException as error:  # the log driver keeps nothing that can be read back
        return f"({error})"


def quote(container: Container, log: str) -> str:
    """Return where a log is and how it ends."""
    text = last_error(log)
    if not text:
        return f"The log of container {container.name} is empty."
    return f"Last lines of container {container.name}:\n{text}"


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
