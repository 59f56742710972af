"""Why pods do not come up or do not stay up, in words, from what Kubernetes tells of them. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clipper.managers.deaths import (
    DEATHS_THAT_COUNT,
    HEALTHY_AFTER_S,
    MISSING_PACKAGE_STATUS,
    explain_exit,
    so_far,
)
from clipper.managers.kubernetes.pulling import PULL_REASONS, pull_step

_SIGNALLED = 128
"""A status above this is that of a process that a signal ended."""

_HOPELESS = {
    "ImagePullBackOff": "its image cannot be pulled",
    "ErrImageNeverPull": "its image is not on the node",
    "InvalidImageName": "its image has no valid name",
    "CreateContainerConfigError": "its configuration refers to what there is not",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
}
"""Reason for waiting → what it means, where more waiting does not help."""

_NODE_IS_LATE = "timed out waiting for the condition"
"""In the message of a node that has not read a secret or config map yet; it tries again itself."""


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with one pod."""

    pod: str
    text: str
    """Goes on a sentence about the pod."""
    container: str = ""
    """Whose log says more; empty: none has started."""
    previous: bool = False
    """Whether its run before this one is the one that says it."""
    final: bool = True
    """Whether waiting longer is of no use."""


def trouble_of(pod: Mapping[str, Any]) -> Trouble | None:
    """Return what keeps a pod from running; None: nothing, as far as is known."""
    name = str(pod["metadata"]["name"])
    status = pod.get("status", {})
    if status.get("reason") == "Evicted":
        return Trouble(name, f"was evicted: {status.get('message', '')}", final=False)
    for container in status.get("containerStatuses", ()):
        found = _container_trouble(name, container)
        if found is not None:
            return found
    return _unscheduled(name, status)


def _container_trouble(pod: str, container: Mapping[str, Any]) -> Trouble | None:
    waiting = container.get("state", {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _HOPELESS:
        detail = waiting.get("message") or reason
        image = str(container["image"])
        if reason in PULL_REASONS:
            step = pull_step(image, f"{reason} {detail}")
            return Trouble(pod, f"does not start: {_HOPELESS[reason]} ({image}): {detail}. {step}")
        if _NODE_IS_LATE in detail:
            return Trouble(pod, f"does not start yet: {detail}", final=False)
        return Trouble(pod, f"does not start: {_HOPELESS[reason]}: {detail}")
    if early_deaths(container) == 0:
        return None
    ended = _last_end(container)
    previous = "terminated" not in container.get("state", {})
    final = early_deaths(container) >= DEATHS_THAT_COUNT or _status(ended) == MISSING_PACKAGE_STATUS
    return Trouble(pod, describe_end(container), str(container["name"]), previous, final)


def _unscheduled(pod: str, status: Mapping[str, Any]) -> Trouble | None:
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Trouble(
                pod, f"waits for a node: {condition.get('message', 'no reason given')}", final=False
            )
    return None


def first_trouble(pods: Sequence[Mapping[str, Any]], *, final: bool) -> Trouble | None:
    """Return what is wrong with the first pod that has something; None: nothing.

    Args:
        final: only of pods for which waiting is of no use.
    """
    for pod in pods:
        found = trouble_of(pod)
        if found is not None and (found.final or not final):
            return found
    return None


def last_warning(events: Sequence[Mapping[str, Any]]) -> str:
    """Return the newest warning among events that says more than a reason's name; empty: none.

    A container's state soon tells no more than that the next attempt waits; its events tell why.
    """
    warnings = [
        one for one in events
        if one.get("type") == "Warning" and not str(one.get("message", "")).startswith("Error: ")
    ]  # fmt: skip
    newest = max(warnings, key=_happened, default={})
    return str(newest.get("message", ""))


def _happened(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def early_deaths(container: Mapping[str, Any]) -> int:
    """Return how often a container has died that does not serve, if its run was short."""
    if container.get("ready") or not _last_end(container):
        return 0
    if "running" in container.get("state", {}) or _ran_s(_last_end(container)) >= HEALTHY_AFTER_S:
        return 0
    deaths = int(container.get("restartCount", 0))
    return deaths + 1 if "terminated" in container.get("state", {}) else deaths


def describe_end(container: Mapping[str, Any], log: str = "") -> str:
    """Return how a container ended, and how often it was restarted."""
    ended, restarts = _last_end(container), int(container.get("restartCount", 0))
    if ended.get("reason") == "OOMKilled":
        text = "was killed because it needed more memory than its limit (model_resources raises it)"
    elif ended.get("reason") == "ContainerCannotRun":
        text = f"cannot be started: {ended.get('message', '')}"
    else:
        text = explain_exit(_status(ended), log)
    return f"{text}, {so_far(restarts)}" if restarts else text


def last_exit(container: Mapping[str, Any]) -> int | None:
    """Return the last exit status, negative for a signal; None: it has never ended."""
    return _status(_last_end(container))


def uptime_s(container: Mapping[str, Any], now: datetime.datetime) -> float | None:
    """Return how long a container has run; None: it does not."""
    running = container.get("state", {}).get("running")
    if not running:
        return None
    return max(0.0, (now - _moment(running["startedAt"])).total_seconds())


def _status(ended: Mapping[str, Any]) -> int | None:
    if not ended:
        return None
    code = int(ended["exitCode"])
    return _SIGNALLED - code if code > _SIGNALLED else code


def _last_end(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(_ends(container), {})


def _ends(container: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("state", "lastState"):
        ended = container.get(key, {}).get("terminated")
        if ended:
            yield ended


def _ran_s(ended: Mapping[str, Any]) -> float:
    started, finished = ended.get("startedAt"), ended.get("finishedAt")
    if not started or not finished:
        return 0.0
    return (_moment(finished) - _moment(started)).total_seconds()


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
