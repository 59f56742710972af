"""What is wrong with a cluster's pods, in words and with a next step. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clipper.managers.deaths import last_error
from clipper.managers.findings import Finding
from clipper.managers.kubernetes import failures
from clipper.managers.kubernetes.pulling import PULL_REASONS, pull_step
from clipper.managers.kubernetes.status import role_name
from clipper.managers.kubernetes.survey import Survey

Pod = Mapping[str, Any]

_STARTS_WITHIN_S = 60.0
"""A container that runs longer and is not ready is worth a look."""

_SIZES = (
    "model_resources or frontend_resources of KubernetesContainerManager say what a container may "
    "use and reserves"
)


def examine_pods(found: Survey) -> Iterator[Finding]:
    """Yield what is wrong with the pods, the same trouble of one role once; or that they run."""
    told: dict[tuple[str, str], list[str]] = {}
    steps: dict[tuple[str, str], tuple[str, str]] = {}
    for pod in found.pods:
        trouble = None if pod["metadata"].get("deletionTimestamp") else _trouble(found, pod)
        if trouble is not None:
            text, step, check = trouble
            key = (role_name(pod), text)
            told.setdefault(key, []).append(str(pod["metadata"]["name"]))
            steps[key] = (step, check)
    for (role, text), names in told.items():
        step, check = steps[role, text]
        others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        yield Finding(check, f"{role}: pod {names[0]}{others} {text}", step)
    if found.pods and not told:
        yield Finding("pods", f"{len(found.pods)} pods, none of them in trouble")


Trouble = tuple[str, str, str]
"""What is wrong, going on a sentence about the pod; the next step; what was looked at."""


def _trouble(found: Survey, pod: Pod) -> Trouble | None:
    for look in _LOOKS:
        trouble = look(found, pod)
        if trouble is not None:
            return trouble
    return None


def _evicted(found: Survey, pod: Pod) -> Trouble | None:
    status = pod.get("status", {})
    if status.get("reason") != "Evicted":
        return None
    return (
        f"was evicted: {_plain(status.get('message', 'no reason given'))}",
        "Its node ran short of what the message names: add nodes, or let containers reserve what "
        f"they use ({_SIZES}). `kubectl -n {found.namespace} delete pod "
        f"{pod['metadata']['name']}` clears the entry",
        "evictions",
    )


def _image(found: Survey, pod: Pod) -> Trouble | None:
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting") or {}
        reason = str(waiting.get("reason", ""))
        if reason not in PULL_REASONS:
            continue
        image = str(_spec_of(pod, container).get("image") or container.get("image", ""))
        said = _event(found, pod, "Failed", "image") or str(waiting.get("message") or reason)
        text = f"does not get its image {image}: {_plain(said)}"
        absent = _absent_secrets(found, pod)
        if absent:
            name = absent[0]
            return (
                f"{text}. Its pull secret {name} does not exist in namespace {found.namespace}",
                f"Make it: `kubectl -n {found.namespace} create secret docker-registry {name} "
                "--docker-server=… --docker-username=… --docker-password=…`",
                "images",
            )
        return text, pull_step(image, f"{reason} {said}"), "images"
    return None


def _absent_secrets(found: Survey, pod: Pod) -> list[str]:
    if found.secrets is None:
        return []
    wanted = [str(one["name"]) for one in pod["spec"].get("imagePullSecrets") or ()]
    return [name for name in wanted if name not in found.secrets]


def _configuration(found: Survey, pod: Pod) -> Trouble | None:
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in ("CreateContainerConfigError", "CreateContainerError"):
            said = _plain(str(waiting.get("message") or waiting["reason"]))
            return (
                f"cannot be made: {said}",
                "`clipper up` makes anew whatever is missing of the cluster",
                "pods",
            )
    return None


def _memory(found: Survey, pod: Pod) -> Trouble | None:
    for container in _containers(pod):
        ends = (container.get(key, {}).get("terminated") or {} for key in ("state", "lastState"))
        if not any(end.get("reason") == "OOMKilled" for end in ends):
            continue
        limits = _spec_of(pod, container).get("resources", {}).get("limits", {})
        limit = f" of {limits['memory']}" if "memory" in limits else ""
        times = int(container.get("restartCount", 0))
        return (
            f"was killed because it needed more memory than its limit{limit}; it was restarted "
            f"{'once' if times == 1 else f'{times} times'}",
            f"Raise the limit ({_SIZES}), or make batches smaller with `clipper deploy "
            "--batch-size`",
            "memory",
        )
    return None


def _crash(found: Survey, pod: Pod) -> Trouble | None:
    name = str(pod["metadata"]["name"])
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting") or {}
        looping = waiting.get("reason") == "CrashLoopBackOff"
        if not looping and not failures.early_deaths(container):
            continue
        log = found.logs.get(name, "")
        text = f"keeps dying: it {failures.describe_end(container, log)}."
        end = last_error(log)
        return (
            f"{text} Last lines of its log:\n{end}" if end else text,
            "Mend the cause; a model is then deployed as a new version. `clipper logs "
            f"{role_name(pod).removeprefix('model:')}` has the log",
            "restarts",
        )
    return None


def _unscheduled(found: Survey, pod: Pod) -> Trouble | None:
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] != "PodScheduled" or condition["status"] != "False":
            continue
        message = _plain(str(condition.get("message") or "no reason given"))
        text = f"waits for a node: {message}"
        if "nsufficient" in message:
            asked = "; it asks for " + ", ".join(_requests(pod)) if _requests(pod) else ""
            return (
                text + asked,
                f"Add nodes, run fewer replicas (`clipper scale`), or ask for less ({_SIZES})",
                "room",
            )
        if re.search(r"PersistentVolumeClaim|volume", message):
            claims = f"`kubectl -n {found.namespace} describe pvc`"
            return text, f"Its volume comes first: see storage, and {claims}", "room"
        if "taint" in message:
            return (
                text,
                "Clipper's pods tolerate no taints: add a node without, or remove them with "
                "`kubectl taint nodes NODE KEY-`",
                "room",
            )
        if "unschedulable" in message:
            return text, "`kubectl uncordon NODE` lets a node take pods again", "room"
        return text, _describe(found, pod), "room"
    return None


_BEFORE_START = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")


def _before_start(found: Survey, pod: Pod) -> Trouble | None:
    """A pod that has a node, and whose containers do not begin."""
    begun = any("running" in one.get("state", {}) for one in _containers(pod))
    if begun or pod.get("status", {}).get("phase") != "Pending":
        return None
    for reason in _BEFORE_START:
        said = _event(found, pod, reason)
        if not said:
            continue
        what = "the pods' network" if "Sandbox" in reason else "the volume"
        return (
            f"does not start: {_plain(said)}",
            f"Its node fails at {what}; whoever keeps it finds more with {_describe(found, pod)}",
            "pods",
        )
    return None


def _unready(found: Survey, pod: Pod) -> Trouble | None:
    for container in _containers(pod):
        running_s = failures.uptime_s(container, found.now)
        if container.get("ready") or running_s is None or running_s < _STARTS_WITHIN_S:
            continue
        said = _event(found, pod, "Unhealthy")
        why = f": {_plain(said)}" if said else ""
        return (
            f"has run for {running_s:.0f} s and is not ready{why}",
            f"Read its log: `kubectl -n {found.namespace} logs {pod['metadata']['name']}`",
            "health",
        )
    return None


_LOOKS: tuple[Callable[[Survey, Pod], Trouble | None], ...] = (
    _evicted,
    _image,
    _configuration,
    _memory,
    _crash,
    _unscheduled,
    _before_start,
    _unready,
)


def _containers(pod: Pod) -> list[Mapping[str, Any]]:
    return list(pod.get("status", {}).get("containerStatuses") or ())


def _spec_of(pod: Pod, container: Mapping[str, Any]) -> Mapping[str, Any]:
    for spec in pod["spec"].get("containers") or ():
        if spec["name"] == container.get("name"):
            return dict(spec)
    return {}


def _requests(pod: Pod) -> list[str]:
    asked = []
    for spec in pod["spec"].get("containers") or ():
        requests = spec.get("resources", {}).get("requests") or {}
        asked += [f"{amount} of {name}" for name, amount in requests.items()]
    return asked


def _event(found: Survey, pod: Pod, reason: str, word: str = "") -> str:
    """Return what Kubernetes last told of a pod for this reason, with this word; empty: nothing.

    A message that begins with "Error:" only repeats the reason.
    """
    for event in reversed(found.events):
        about, message = event.get("involvedObject", {}), str(event.get("message", ""))
        same = about.get("uid") == pod["metadata"].get("uid") and about.get("kind") == "Pod"
        told = word in message and not message.startswith("Error: ")
        if same and told and event.get("reason") == reason:
            return message
    return ""


def _describe(found: Survey, pod: Pod) -> str:
    return f"`kubectl -n {found.namespace} describe pod {pod['metadata']['name']}`"


def _plain(text: str) -> str:
    """Return a message on one line, without the full stop that another sentence brings."""
    return " ".join(text.split()).rstrip(".")
