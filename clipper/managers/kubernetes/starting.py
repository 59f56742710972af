"""Waiting until what was applied does its work; telling why it does not."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from clipper.errors import ContainerStartError
from clipper.managers.deaths import last_error
from clipper.managers.kubernetes import names
from clipper.managers.kubernetes.api import KubernetesApi, Object, Refused
from clipper.managers.kubernetes.failures import Trouble, first_trouble, last_warning
from clipper.managers.kubernetes.inventory import Inventory
from clipper.managers.kubernetes.settings import KubernetesSettings

START_LIMIT_S = 600.0
_PAUSE_S = 0.2
_TOLD_AFTER_S = 10.0
_LOG_LINES = 80

_log = logging.getLogger(__name__)


def wait_until_ready(
    api: KubernetesApi, settings: KubernetesSettings, limit_s: float = START_LIMIT_S
) -> None:
    """Return when every workload of the cluster's core runs as it was applied, and is ready.

    Raises:
        ContainerStartError: a pod cannot run or does not stay up, or the time is over; holds the
            reason and last log lines.
    """
    inventory = Inventory(api, settings)
    started, told = time.monotonic(), ""
    while waiting := [one for one in inventory.workloads() if not _of_model(one) and not done(one)]:
        pods = [pod for pod in inventory.pods() if not _of_model(pod)]
        inventory.clear_away(pods)
        trouble = first_trouble(pods, final=True)
        waited_s = time.monotonic() - started
        if trouble is None and waited_s >= limit_s:
            trouble = first_trouble(pods, final=False)
            if trouble is None:
                late = ", ".join(str(one["metadata"]["name"]) for one in waiting)
                raise ContainerStartError(
                    f"The cluster is not ready after {waited_s:.0f} s: {late}. "
                    f"`kubectl -n {settings.namespace} get pods` may tell why"
                )
        if trouble is not None:
            raise ContainerStartError(
                f"While the cluster started, {explain(api, settings, trouble)}"
            )
        pending = first_trouble(pods, final=False)
        if pending is not None and pending.text != told and waited_s >= _TOLD_AFTER_S:
            told = pending.text
            _log.warning("[%s] pod %s %s", settings.cluster_name, pending.pod, told)
        time.sleep(_PAUSE_S)


def done(workload: Mapping[str, Any]) -> bool:
    """Return whether a Deployment or StatefulSet runs as it was applied, with nothing old left."""
    wanted, status = workload["spec"].get("replicas", 1), workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return False
    updated = status.get("updatedReplicas", 0)
    if workload["kind"] == "StatefulSet":
        if status.get("updateRevision") != status.get("currentRevision"):
            return False  # the last pod is not the new one yet, or not ready
        updated = max(updated, status.get("currentReplicas", 0))
    counts = (updated, status.get("readyReplicas", 0), status.get("replicas", 0))
    return all(count == wanted for count in counts)


def explain(api: KubernetesApi, settings: KubernetesSettings, trouble: Trouble) -> str:
    """Return what is wrong with a pod, and how its log ends."""
    text = f"pod {trouble.pod} {trouble.text}. "
    if not trouble.container:
        warning = last_warning(_events(api, settings, trouble.pod))
        told = f"Kubernetes tells: {warning}. " if warning else ""
        return f"{text}{told}`kubectl -n {settings.namespace} describe pod {trouble.pod}` has more"
    log = log_end(api, settings, trouble.pod, trouble.container, previous=trouble.previous)
    return text + quote(trouble.pod, log)


def _events(api: KubernetesApi, settings: KubernetesSettings, pod: str) -> Sequence[Object]:
    """Return what happened to a pod; nothing if this user may not know."""
    wanted = f"involvedObject.kind=Pod,involvedObject.name={pod}"
    try:
        return api.list("v1", "Event", settings.namespace, fields=wanted)
    except Refused:
        return []


def log_end(
    api: KubernetesApi, settings: KubernetesSettings, pod: str, container: str, *, previous: bool
) -> str:
    """Return the last lines of a container's log, or why there are none."""
    try:
        raw = api.log(pod, settings.namespace, container, lines=_LOG_LINES, previous=previous)
        return raw.decode(errors="replace")
    except Refused as error:
        return f"({error})"


def quote(pod: str, log: str) -> str:
    """Return where a log is and how it ends."""
    text = last_error(log)
    return f"Last lines of pod {pod}:\n{text}" if text else f"The log of pod {pod} is empty."


def _of_model(one: Object) -> bool:
    return bool(one["metadata"]["labels"].get(names.ROLE_LABEL) == names.MODEL)


def last_words(api: KubernetesApi, settings: KubernetesSettings, pods: Sequence[Object]) -> str:
    """Return how the log of the newest pod ends, or what keeps it from having one."""
    if not pods:
        return "It has no pod."
    trouble = first_trouble(pods[:1], final=False)
    if trouble is not None:
        return explain(api, settings, trouble)
    name = str(pods[0]["metadata"]["name"])
    container = str(pods[0]["spec"]["containers"][0]["name"])
    return quote(name, log_end(api, settings, name, container, previous=False))
