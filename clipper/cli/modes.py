"""Where the cluster's processes run, and the manager that runs them there."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any

from clipper.errors import ClipperException
from clipper.managers import packages
from clipper.managers.base import ContainerManager
from clipper.managers.local import LocalContainerManager
from clipper.managers.ports import reachable_host

DEFAULT_CLUSTER = "default-cluster"
DEFAULT_NAMESPACE = "default"


class Mode(enum.StrEnum):
    """Where the cluster's processes run."""

    LOCAL = "local"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"


_ON_THIS_HOST = frozenset({Mode.LOCAL, Mode.DOCKER})
IN_CONTAINERS = frozenset({Mode.DOCKER, Mode.KUBERNETES})
_LOCAL = frozenset({Mode.LOCAL})
_DOCKER = frozenset({Mode.DOCKER})
_KUBERNETES = frozenset({Mode.KUBERNETES})

_START_OPTIONS: Mapping[str, tuple[str, frozenset[Mode]]] = {
    "host": ("--host", _ON_THIS_HOST),
    "clipper_query_port": ("--query-port", _ON_THIS_HOST),
    "clipper_management_port": ("--mgmt-port", _ON_THIS_HOST),
    "clipper_rpc_port": ("--rpc-port", _ON_THIS_HOST),
    "isolated_environments": ("--isolated", _LOCAL),
    "docker_network": ("--network", _DOCKER),
    "redis_ip": ("--redis-ip", IN_CONTAINERS),
    "redis_port": ("--redis-port", IN_CONTAINERS),
    "prometheus_port": ("--prometheus-port", _DOCKER),
    "prometheus_image": ("--registry or --no-prometheus", IN_CONTAINERS),
    "create_namespace_if_not_exists": ("--create-namespace", _KUBERNETES),
    "max_frontend_replicas": ("--max-frontends", _KUBERNETES),
    "autoscale_models": ("--autoscale", _KUBERNETES),
    "redis_storage": ("--storage or --no-storage", _KUBERNETES),
    "redis_storage_class": ("--storage-class", _KUBERNETES),
    "service_types": ("--service-type", _KUBERNETES),
    "image_pull_secrets": ("--pull-secret", _KUBERNETES),
}
"""Constructor argument that not every manager has → the option that gives it, and its modes."""


@dataclasses.dataclass(frozen=True, slots=True)
class KubernetesPlace:
    """Which Kubernetes cluster, and how it is reached from here."""

    namespace: str = DEFAULT_NAMESPACE
    kubeconfig: str | None = None
    """None: what kubectl would use."""
    context: str | None = None
    proxy: str | None = None
    """``host:port`` of a ``kubectl proxy``."""
    internal_ip: bool = False
    flags: frozenset[str] = frozenset()
    """Those of these options that stand on the command line: they fit one mode only."""


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterChoice:
    """Which cluster the command is about. Ports and the rest matter to `up` only."""

    name: str = DEFAULT_CLUSTER
    state_dir: str | None = None
    mode: Mode = Mode.LOCAL
    start_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Constructor arguments of the manager beyond name and state directory; ``host`` is the
    address to listen on. None where the user said nothing, `ABSENT` where he said "none"."""
    place: KubernetesPlace = dataclasses.field(default_factory=KubernetesPlace)


ABSENT = object()
"""A start option that the user wants to be None."""


def require_mode(mode: Mode, flag: str, fitting: frozenset[Mode]) -> None:
    """Return if an option fits the mode.

    Raises:
        ClipperException: it does not.
    """
    if mode not in fitting:
        raise ClipperException(f"{flag} does not fit --mode {mode}; leave it out")


def make_manager(choice: ClusterChoice) -> ContainerManager:
    """Return the manager of the chosen cluster.

    Raises:
        ClipperException: an option that does not fit the mode, a missing package, or no Docker
            engine or Kubernetes that answers.
    """
    given = {name: value for name, value in choice.start_options.items() if value is not None}
    for name in given:
        if name in _START_OPTIONS:
            require_mode(choice.mode, *_START_OPTIONS[name])
    for flag in sorted(choice.place.flags):
        require_mode(choice.mode, flag, _KUBERNETES)
    given = {name: None if value is ABSENT else value for name, value in given.items()}
    return _MAKERS[choice.mode](choice, given)


def _local(choice: ClusterChoice, given: dict[str, Any]) -> ContainerManager:
    return LocalContainerManager(choice.name, state_dir=choice.state_dir, **given)


def _docker(choice: ClusterChoice, given: dict[str, Any]) -> ContainerManager:
    # Loaded only here: it is a third of the time that `clipper --help` takes.
    from clipper.managers.docker import DockerContainerManager

    host = given.pop("host", None)
    if host is not None:
        given |= {"docker_ip_address": reachable_host(host), "bind_address": host}
    return DockerContainerManager(choice.name, **given)


def _kubernetes(choice: ClusterChoice, given: dict[str, Any]) -> ContainerManager:
    try:
        from clipper.managers.kubernetes import KubernetesContainerManager
    except ModuleNotFoundError as error:
        raise packages.explained(error) from error
    place = choice.place
    return KubernetesContainerManager(
        choice.name,
        namespace=place.namespace,
        kubeconfig=place.kubeconfig,
        context=place.context,
        kubernetes_proxy_addr=place.proxy,
        useInternalIP=place.internal_ip,
        **given,
    )


_MAKERS: Mapping[Mode, Callable[[ClusterChoice, dict[str, Any]], ContainerManager]] = {
    Mode.LOCAL: _local,
    Mode.DOCKER: _docker,
    Mode.KUBERNETES: _kubernetes,
}
