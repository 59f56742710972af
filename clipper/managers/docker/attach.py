"""What a running cluster's containers say of it: ports, network, token, where logs go."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence

from docker.models.containers import Container

from clipper.errors import ClipperException
from clipper.managers.docker import central_logging, inventory
from clipper.managers.docker.central_logging import Collector
from clipper.managers.docker.plan import is_loopback
from clipper.managers.docker.specs import (
    MANAGEMENT_PORT_LABEL,
    METRIC_PORT_LABEL,
    QUERY_PORT_LABEL,
    ROLE_LABEL,
    ClusterSettings,
    Role,
)

CORE = tuple(role for role in Role if role is not Role.MODEL)

_PORT_LABELS = (QUERY_PORT_LABEL, MANAGEMENT_PORT_LABEL, METRIC_PORT_LABEL)

_EVERYWHERE = ("", "0.0.0.0", "::")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """A cluster that runs."""

    settings: ClusterSettings
    """Those given, with what the cluster itself decides."""
    ports: Mapping[str, int]
    """Label → published host port."""
    collector: Collector | None
    """Of centralized logging."""


def attach(settings: ClusterSettings, containers: Sequence[Container]) -> Attachment:
    """Return what the cluster's containers say.

    Raises:
        ClipperException: there is no such cluster, it lacks a frontend, or centralized logging was
            asked for and it has none.
    """
    core = inventory.of_role(containers, *CORE)
    _require_frontends(settings.cluster_name, containers)
    collectors = inventory.of_role(core, Role.LOGGING)
    collector = central_logging.adopt(
        settings.centralized_log,
        collectors[0].labels if collectors else None,
        settings.cluster_name,
    )
    frontend = inventory.of_role(core, Role.QUERY)[0]
    ports = {
        label: int(container.labels[label])
        for container in core
        for label in _PORT_LABELS
        if label in container.labels
    }
    adopted = dataclasses.replace(
        settings,
        docker_ip_address=_reachable_at(settings.docker_ip_address, frontend),
        centralized_log=collector is not None,
        network=frontend.attrs["HostConfig"]["NetworkMode"],
        token=_variable(frontend, "CLIPPER_TOKEN"),
    )
    return Attachment(adopted, ports, collector)


def _require_frontends(cluster_name: str, containers: Sequence[Container]) -> None:
    if not inventory.alive(containers):
        raise ClipperException(
            f"Cluster {cluster_name} is not running on this Docker engine. Start it with "
            "`clipper --mode docker up` or ClipperConnection.start_clipper()."
        )
    core = inventory.of_role(containers, *CORE)
    present = {container.labels[ROLE_LABEL] for container in core}
    missing = [role for role in (Role.QUERY, Role.MANAGEMENT) if role not in present]
    if missing:
        raise ClipperException(
            f"Cluster {cluster_name} runs without its {' and its '.join(missing)}. End what is "
            "left of it with stop_all (`clipper down`), and start it again."
        )
    for container in core:
        if not inventory.is_alive(container):
            _log.warning(
                "[%s] container %s does not run; `docker start %s` starts it again",
                cluster_name, container.name, container.name,
            )  # fmt: skip


def _variable(container: Container, name: str) -> str | None:
    for entry in container.attrs["Config"]["Env"] or ():
        key, _, value = entry.partition("=")
        if key == name:
            return str(value)
    return None


def _reachable_at(given: str, frontend: Container) -> str:
    """Return the host of the cluster's addresses: as given, but for a loopback name that the
    cluster does not listen on."""
    bindings = frontend.attrs["HostConfig"]["PortBindings"].values()
    bound = {binding["HostIp"] for listed in bindings for binding in listed}
    named = [host for host in bound if host not in _EVERYWHERE and not is_loopback(host)]
    return named[0] if named and is_loopback(given) else given
