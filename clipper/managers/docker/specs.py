"""The description of a container, and how it becomes arguments of the Docker client. Pure.

Names and host ports are chosen when a container is made, see `launch`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from docker.types import LogConfig

from clipper.errors import ClipperException
from clipper.managers.docker.central_logging import Collector

ROLE_LABEL = "ai.clipper.name"
"""Value: a `Role`."""
QUERY_LABEL = "ai.clipper.query_frontend.label"
MANAGEMENT_LABEL = "ai.clipper.management_frontend.label"
IMAGE_LABEL = "ai.clipper.image"
"""Value: the image's name when the container was deployed; the name may mean another one later."""
INPUT_TYPE_LABEL = "ai.clipper.input_type"

REDIS_PORT_LABEL = "ai.clipper.redis.port"
QUERY_PORT_LABEL = "ai.clipper.query_frontend.query.port"
RPC_PORT_LABEL = "ai.clipper.query_frontend.rpc.port"
MANAGEMENT_PORT_LABEL = "ai.clipper.management.port"
METRIC_PORT_LABEL = "ai.clipper.metric.port"
METRIC_CONFIG_LABEL = "ai.clipper.metric.config"

PARTS_LABEL = "ai.clipper.parts"
"""On frontends: the roles that the cluster was started with, so that one is missed when it is gone;
value: `Role` values with commas between them."""

NETWORK_LABEL = "ai.clipper.network"
"""On networks that Clipper made, and may remove; value: the cluster that was first."""
VOLUME_LABEL = "ai.clipper.volume"
"""On the store's volume; value: the cluster."""

HOST_GATEWAY = "host.docker.internal"
"""Name under which containers reach the engine's host."""


class Role(enum.StrEnum):
    """Values of `ROLE_LABEL` (spec §10.4)."""

    LOGGING = "fluentd"
    STORE = "redis"
    MANAGEMENT = "mgmt-frontend"
    QUERY = "query-frontend"
    METRICS = "metrics"
    MODEL = "model"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """What the manager was constructed with."""

    cluster_name: str
    docker_ip_address: str
    """Host of the addresses that are given out."""
    bind_address: str
    """Address of the engine's host that published ports listen on."""
    network: str
    query_port: int
    management_port: int
    rpc_port: int
    redis_ip: str | None
    redis_port: int
    redis_url: str | None
    prometheus_port: int
    fluentd_port: int
    centralized_log: bool
    prometheus_image: str | None
    store_image: str | None
    """None: the query frontend's."""
    fluentd_image: str
    token: str | None
    extra: Mapping[str, Any]
    """Arguments for every container, see `create_arguments`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PortSpec:
    """A port of a container that the host publishes."""

    inner: int
    wanted: int
    """Host port; 0: any free one."""
    host: str
    """Address that is bound."""
    label: str
    """Label that tells the port that was taken in the end."""
    purpose: str
    protocols: tuple[str, ...] = ("tcp",)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container before it has a name and host ports."""

    role: Role
    prefix: str
    """Its name is ``<prefix>-N``."""
    image: str
    """Name or id."""
    command: tuple[str, ...] = ()
    """Empty: the image's own."""
    labels: Mapping[str, str]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    own_name_variable: str | None = None
    """Environment variable that tells the container its name."""
    ports: tuple[PortSpec, ...] = ()
    volumes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Volume → directory."""
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    """Path → content, there before it starts."""
    reaches_host: bool = False
    """Whether it needs the name `HOST_GATEWAY`."""


def create_arguments(
    spec: ContainerSpec,
    settings: ClusterSettings,
    name: str,
    host_ports: Mapping[int, int],
    collector: Collector | None,
    engine_log_driver: str = "",
) -> dict[str, Any]:
    """Return the arguments of `containers.create`: ours merged into the user's.

    Args:
        name: of the container.
        host_ports: port inside → host port.
        collector: where its output goes; None: to the engine's or the user's log driver.
        engine_log_driver: the engine's default; ``json-file`` without a limit fills the disk.
    """
    extra = {key: value for key, value in settings.extra.items() if key not in _OF_RUN_ONLY}
    environment = extra_environment(settings.extra) | dict(spec.environment)
    if spec.own_name_variable is not None:
        environment[spec.own_name_variable] = name
    ports = {port.label: str(host_ports[port.inner]) for port in spec.ports}
    arguments = {
        "restart_policy": {"Name": "unless-stopped"},
        **extra,
        "name": name,
        "image": spec.image,
        "labels": {**_pairs(extra.get("labels")), **spec.labels, **ports},
        "environment": environment,
        "network": settings.network,
        "detach": True,
        "ports": {
            **(extra.get("ports") or {}),
            **{
                f"{port.inner}/{protocol}": (port.host, host_ports[port.inner])
                for port in spec.ports
                for protocol in port.protocols
            },
        },
        "volumes": _volumes(extra.get("volumes"), spec.volumes),
        "extra_hosts": {**_hosts(extra.get("extra_hosts")), **_extra_hosts(spec)},
    }
    if spec.command:
        arguments["command"] = list(spec.command)
    if collector is not None and spec.role is not Role.LOGGING:
        arguments["log_config"] = collector.log_config()
    elif "log_config" not in extra and engine_log_driver == LogConfig.types.JSON:
        arguments["log_config"] = LogConfig(type=LogConfig.types.JSON, config=_LOG_LIMIT)
    return arguments


_LOG_LIMIT = {"max-size": "20m", "max-file": "3"}
"""For each container, when the engine itself sets none."""

_OF_RUN_ONLY = {"remove", "stdout", "stderr", "stream", "auto_remove"}
"""Arguments of `containers.run` that do not fit containers which are kept and restarted."""


def extra_environment(extra: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of the user's extra arguments: Docker takes a mapping or a list."""
    return _pairs(extra.get("environment"))


def check_extra(extra: object) -> dict[str, Any]:
    """Return the user's extra arguments, if those that are joined with ours can be.

    Raises:
        ClipperException: a value of a form that Docker's client does not take either.
    """
    if not isinstance(extra, Mapping):
        raise _misfit("", "a mapping of names to values, such as {'mem_limit': '4g'}", extra)
    for name, (fits, form) in _FORMS.items():
        value = extra.get(name)
        if value is not None and not fits(value):
            raise _misfit(f"[{name!r}]", form, value)
    return dict(extra)


def _misfit(key: str, form: str, value: object) -> ClipperException:
    return ClipperException(f"extra_container_kwargs{key} must be {form}, not {value!r}")


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def _is_pairs(value: object) -> bool:
    return isinstance(value, Mapping) or _is_texts(value)


def _is_volumes(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(to, Mapping) and "bind" in to for to in value.values())
    return _is_texts(value)


_FORMS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "environment": (_is_pairs, "a mapping or a list such as ['OMP_NUM_THREADS=2']"),
    "labels": (_is_pairs, "a mapping or a list such as ['team=ranking']"),
    "extra_hosts": (_is_pairs, "a mapping or a list such as ['db:10.0.0.1']"),
    "ports": (
        lambda value: isinstance(value, Mapping),
        "a mapping of ports inside to host ports, such as {'8080/tcp': 18080}",
    ),
    "volumes": (
        _is_volumes,
        "a list such as ['/data:/data:ro'] or a mapping such as "
        "{'/data': {'bind': '/data', 'mode': 'ro'}}",
    ),
}
"""Argument → whether a value fits, and what fits."""


def _hosts(given: Mapping[str, str] | Sequence[str] | None) -> dict[str, str]:
    """Return host names with addresses; a list has them as ``name:address``."""
    if given is None or isinstance(given, Mapping):
        return dict(given or {})
    return {name: address for name, _, address in (entry.partition(":") for entry in given)}


def _extra_hosts(spec: ContainerSpec) -> dict[str, str]:
    return {HOST_GATEWAY: "host-gateway"} if spec.reaches_host else {}


def _pairs(given: Mapping[str, Any] | Sequence[str] | None) -> dict[str, str]:
    """Return labels or variables as a mapping; a list has them as ``name=value`` or ``name``."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): "" if value is None else str(value) for name, value in given.items()}
    return {name: value for name, _, value in (entry.partition("=") for entry in given)}


def _volumes(given: Mapping[str, Any] | Sequence[str] | None, ours: Mapping[str, str]) -> list[str]:
    """Return bindings in Docker's short form, in which both kinds can be joined."""
    if isinstance(given, Mapping):
        theirs = [f"{src}:{to['bind']}:{to.get('mode', 'rw')}" for src, to in given.items()]
    else:
        theirs = list(given or ())
    return [*theirs, *(f"{volume}:{directory}:rw" for volume, directory in ours.items())]
