"""From facts about a cluster to findings with a next step. Pure: nothing is asked here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from clipper.cli.home import HOMES, Home
from clipper.cli.modes import Mode
from clipper.datatypes import CONTAINERLESS_MODEL_IMAGE
from clipper.managers.base import STORE_MISSING
from clipper.managers.findings import Finding
from clipper.managers.stock_images import SUPPORTED_MINORS

_INCOMPLETE = "runs without its"
"""How a manager says that a frontend's container is gone."""
MANAGEMENT_API = "management API"
"""What cannot be reached when the client finds no way into the cluster."""
_REMOVED = "removed"
"""State of a part whose container somebody removed."""


@dataclasses.dataclass(slots=True)
class Facts:
    """What `doctor` could find out; lists stay empty when the cluster does not run."""

    cluster: str
    python: tuple[int, int]
    missing_packages: tuple[str, ...]
    state_dir: str
    state_dir_writable: bool
    home: Home = HOMES[Mode.LOCAL]
    of_home: Sequence[Finding] = ()
    """What the manager found out about the home and the cluster in it."""
    missing_images: Sequence[str] = ()
    """Images that a cluster needs and that are not where they have to be."""
    running: bool = False
    """Whether the supervisor answers."""
    silent_supervisor: str = ""
    """What is wrong with a supervisor that lives but does not answer."""
    children: Sequence[Mapping[str, Any]] = ()
    services: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Role → processes that should run."""
    log_tails: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Log file → last lines, for processes that were restarted."""
    taken_ports: list[int] = dataclasses.field(default_factory=list)
    unreachable: dict[str, str] = dataclasses.field(default_factory=dict)
    """Frontend → what is wrong with it."""
    workers: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)
    applications: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)
    models: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def examine(facts: Facts) -> list[Finding]:
    """Return what is well and what is not, in the order in which to mend it."""
    if facts.silent_supervisor:
        checks = (*_HOST_CHECKS, _of_home, _silent)
    else:
        rest = _CLUSTER_CHECKS if facts.running else _STOPPED_CHECKS
        checks = (*_HOST_CHECKS, _of_home, *rest)
    return [finding for check in checks for finding in check(facts)]


def _python(facts: Facts) -> Iterator[Finding]:
    text = f"{facts.python[0]}.{facts.python[1]}"
    if facts.python[0] == 3 and facts.python[1] in SUPPORTED_MINORS:
        yield Finding("python", text)
    else:
        known = ", ".join(f"3.{minor}" for minor in SUPPORTED_MINORS)
        yield Finding("python", f"{text} is not supported", f"Use one of Python {known}")


def _packages(facts: Facts) -> Iterator[Finding]:
    if facts.missing_packages:
        names = " ".join(facts.missing_packages)
        yield Finding("packages", f"missing: {names}", f"Run `pip install {names}`")
    else:
        yield Finding("packages", "all required packages are installed")


def _state_dir(facts: Facts) -> Iterator[Finding]:
    if facts.silent_supervisor or not facts.home.on_disk:
        return  # only the supervisor knows it for certain
    if facts.state_dir_writable:
        yield Finding("state directory", facts.state_dir)
    else:
        yield Finding(
            "state directory",
            f"{facts.state_dir} is not writable",
            "Change its permissions, or choose another one with --state-dir",
        )


def _ports(facts: Facts) -> Iterator[Finding]:
    for port in facts.taken_ports:
        if facts.home.moves_ports:
            yield Finding("ports", f"port {port} is taken; a cluster would get another one")
            continue
        yield Finding(
            "ports",
            f"port {port} is taken by another process",
            "Stop that process, or choose other ports: clipper up --query-port … --mgmt-port … "
            "--rpc-port …",
        )


def _stopped(facts: Facts) -> Iterator[Finding]:
    yield Finding(
        facts.home.keeper, f"cluster {facts.cluster} is not running", f"Run `{facts.home.up}`"
    )


def _silent(facts: Facts) -> Iterator[Finding]:
    step = facts.home.when_silent
    if any(finding.is_problem for finding in facts.of_home):
        step = "Mend what is said above first, then run doctor again"
    yield Finding(facts.home.keeper, facts.silent_supervisor, step)


def _of_home(facts: Facts) -> Iterator[Finding]:
    yield from facts.of_home


def _processes(facts: Facts) -> Iterator[Finding]:
    yield Finding(facts.home.keeper, f"cluster {facts.cluster} is running")
    for role, wanted in facts.services.items():
        alive = [c for c in facts.children if c["role"] == role and c["pid"] is not None]
        if len(alive) >= wanted:
            yield Finding("processes", f"{role}: {len(alive)} of {wanted} running")
        else:
            step = f"Read its log: clipper logs {role.removeprefix('model:')}"
            if any(one.is_problem and one.detail.startswith(role) for one in facts.of_home):
                step = "See what is said of it above"
            removed = any(c["role"] == role and c.get("state") == _REMOVED for c in facts.children)
            fate = ", its container was removed" if removed else ""
            yield Finding(
                "processes",
                f"{role}: {len(alive)} of {wanted} running{fate}",
                facts.home.when_incomplete if removed else step,
            )


def _images(facts: Facts) -> Iterator[Finding]:
    for image in facts.missing_images:
        yield Finding(
            "images", f"{image} is not {facts.home.images_at}", "Run `clipper images build`"
        )
    if facts.home.images_at and not facts.missing_images and not facts.silent_supervisor:
        there = facts.home.images_at
        yield Finding("images", f"those of the frontends and of Prometheus are {there}")


def _health(facts: Facts) -> Iterator[Finding]:
    if facts.home.examines_itself:
        return
    for child in facts.children:
        if "unhealthy" in str(child.get("state", "")):
            yield Finding(
                "health",
                f"{child['role']} #{child['index']} runs but its health check fails",
                f"Read its log: {child['log']}",
            )


def _restarts(facts: Facts) -> Iterator[Finding]:
    if facts.home.examines_itself:
        return
    for child in facts.children:
        if child.get("early_deaths") or (child["restarts"] and child["pid"] is None):
            tail = facts.log_tails.get(child["log"], "")
            yield Finding(
                "restarts",
                f"{child['role']} #{child['index']} keeps dying ({child['restarts']} restarts). "
                f"Last lines of {child['log']}:\n{tail}",
                "Mend the cause; a model is then deployed as a new version",
            )


def _frontends(facts: Facts) -> Iterator[Finding]:
    for name, failure in facts.unreachable.items():
        log = "query-frontend" if name.startswith("query") else "management-frontend"
        step = f"Read its log: clipper logs {log}"
        if not facts.home.on_disk:
            step += f". If that says nothing: {facts.home.when_incomplete}"
        if name == MANAGEMENT_API and facts.home.when_unconnected:
            step = facts.home.when_unconnected
        elif _INCOMPLETE in failure:
            step = facts.home.when_incomplete
        elif STORE_MISSING in failure:
            step = (
                "Read the store's log: clipper logs store. If it stays so: clipper down, clipper up"
            )
        yield Finding("frontends", f"{name}: {failure}", step)
    if not facts.unreachable:
        yield Finding("frontends", "both frontends are ready")


def _workers(facts: Facts) -> Iterator[Finding]:
    if not facts.workers:
        if not facts.unreachable:
            yield Finding(
                "workers",
                "no frontend worker has a lease in the store",
                "Read the logs: clipper logs query-frontend; clipper logs store",
            )
        return
    newest = max(worker["applied_revision"] for worker in facts.workers)
    late = [w["worker_id"] for w in facts.workers if w["applied_revision"] < newest]
    if late:
        yield Finding(
            "workers",
            f"{', '.join(late)} have not applied revision {newest}",
            "Run doctor again; if it stays so: clipper logs query-frontend, then clipper down "
            "and clipper up",
        )
    else:
        yield Finding("workers", f"all {len(facts.workers)} applied revision {newest}")


def _models(facts: Facts) -> Iterator[Finding]:
    for model in facts.models:
        name = f"{model['model_name']}:{model['model_version']}"
        ready = model["replicas_ready"]
        if ready:
            yield Finding("models", f"{name} has {ready} ready replicas")
        elif model["is_current_version"]:
            yield Finding("models", f"{name} has no ready replica", _start_step(model))


def _start_step(model: Mapping[str, Any]) -> str:
    name, version = model["model_name"], model["model_version"]
    if model["container_name"] == CONTAINERLESS_MODEL_IMAGE:
        return "It is containerless: start its container yourself"
    if model["replicas_running"]:
        return f"Its containers run but do not serve: clipper logs {name}:{version}"
    return f"Start one: clipper scale {name} 1 --version {version}"


def _links(facts: Facts) -> Iterator[Finding]:
    known = {model["model_name"] for model in facts.models}
    for app in facts.applications:
        missing = [name for name in app["linked_models"] if name not in known]
        for name in missing:
            yield Finding(
                "links",
                f"application {app['name']} asks model {name}, which is not registered",
                f"Deploy it with --name {name}, or run `clipper unlink {app['name']} {name}`",
            )
        if not app["linked_models"]:
            yield Finding(
                "links",
                f"application {app['name']} asks no model and answers its default output",
                f"Run `clipper link {app['name']} MODEL`",
            )


_HOST_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _state_dir,
    _images,
)
_STOPPED_CHECKS = (_stopped, _ports)
_CLUSTER_CHECKS = (_processes, _health, _restarts, _frontends, _workers, _models, _links)
