"""What a cluster on a Docker engine consists of: names, commands, labels, ports of its containers.

Pure: nothing here speaks to the engine.
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections.abc import Mapping

from clipper.errors import ClipperException
from clipper.managers.base import (
    MANAGEMENT_PORT,
    QUERY_PORT,
    REDIS_PORT,
    RPC_PORT,
    ClusterOptions,
)
from clipper.managers.docker import central_logging, targets
from clipper.managers.docker.specs import (
    HOST_GATEWAY,
    IMAGE_LABEL,
    INPUT_TYPE_LABEL,
    MANAGEMENT_LABEL,
    MANAGEMENT_PORT_LABEL,
    METRIC_CONFIG_LABEL,
    METRIC_PORT_LABEL,
    PARTS_LABEL,
    QUERY_LABEL,
    QUERY_PORT_LABEL,
    REDIS_PORT_LABEL,
    ROLE_LABEL,
    RPC_PORT_LABEL,
    ClusterSettings,
    ContainerSpec,
    PortSpec,
    Role,
    extra_environment,
)
from clipper.managers.labels import CLUSTER_LABEL, MODEL_LABEL, create_model_container_label
from clipper.managers.threads import thread_settings

PROMETHEUS_PORT = 9090
_LOOPBACK_NAMES = {"localhost", "::1", "ip6-localhost"}
_DNS_LABEL_LIMIT = 63
_SHORT_ID = 12


@dataclasses.dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where the frontends find Redis."""

    url: str
    """May hold a password: passed in the environment, never on a command line."""
    on_host: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """A model version that runs, or shall run."""

    name: str
    version: str
    input_type: str
    image: str
    """Name as deployed."""
    image_id: str


def default_bind_address(docker_ip_address: str) -> str:
    """Return the address to publish on: loopback is for this host alone, others are for all."""
    return "127.0.0.1" if is_loopback(docker_ip_address) else "0.0.0.0"


def check_host(docker_ip_address: str) -> None:
    """Return if this can be the host in an address.

    Raises:
        ClipperException: it is empty, a URL, or an address that means all addresses.
    """
    if not docker_ip_address or re.search(r"[/\s@]", docker_ip_address):
        reason = "is no host name or address"
    elif docker_ip_address in ("0.0.0.0", "::"):
        reason = "means all addresses: bind_address may be that"
    else:
        return
    raise ClipperException(
        f"docker_ip_address={docker_ip_address!r} {reason}. Give the name or address under which "
        "others reach the engine's machine, such as 'localhost' or '10.0.0.7'."
    )


def is_loopback(host: str) -> bool:
    """Return whether the name or address means the machine itself."""
    return host in _LOOPBACK_NAMES or host.startswith("127.")


def volume_name(cluster_name: str) -> str:
    """Return the name of the volume with the store's data."""
    return f"clipper-{cluster_name}-redis"


def external_store(settings: ClusterSettings) -> StoreAddress | None:
    """Return the Redis that was given; None: the cluster has a store of its own.

    A loopback name means the engine's host, which containers reach under another name.

    Raises:
        ClipperException: an address that containers cannot reach.
    """
    url = settings.redis_url
    if url is None:
        if settings.redis_ip is None:
            return None
        host = f"[{settings.redis_ip}]" if ":" in settings.redis_ip else settings.redis_ip
        url = f"redis://{host}:{settings.redis_port}/0"
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ClipperException(
            "redis_url must be redis://host:port/0, or rediss:// with TLS: containers reach "
            "nothing else"
        )
    if not is_loopback(parts.hostname):
        return StoreAddress(url)
    login, separator, _ = parts.netloc.rpartition("@")
    port = "" if parts.port is None else f":{parts.port}"
    netloc = f"{login}{separator}{HOST_GATEWAY}{port}"
    return StoreAddress(urllib.parse.urlunsplit(parts._replace(netloc=netloc)), on_host=True)


def store_container(settings: ClusterSettings, image: str, password: str) -> ContainerSpec:
    """Return the cluster's own store. Its port is published for this host only."""
    port = PortSpec(
        inner=REDIS_PORT,
        wanted=settings.redis_port,
        host="127.0.0.1",
        label=REDIS_PORT_LABEL,
        purpose="store",
    )
    return ContainerSpec(
        role=Role.STORE,
        prefix="redis",
        image=image,
        command=("store", "--data-dir", "/data", "--host", "0.0.0.0", "--port", str(REDIS_PORT)),
        labels=_labels(settings, Role.STORE),
        environment={"CLIPPER_REDIS_PASSWORD": password},
        ports=(port,),
        volumes={volume_name(settings.cluster_name): "/data"},
    )


def own_store(container_name: str, password: str) -> StoreAddress:
    """Return the address of the store's container."""
    return StoreAddress(f"redis://:{password}@{container_name}:{REDIS_PORT}/0")


def management_container(
    settings: ClusterSettings, image: str, store: StoreAddress
) -> ContainerSpec:
    """Return the management frontend."""
    port = PortSpec(
        inner=MANAGEMENT_PORT,
        wanted=settings.management_port,
        host=settings.bind_address,
        label=MANAGEMENT_PORT_LABEL,
        purpose="management frontend",
    )
    return ContainerSpec(
        role=Role.MANAGEMENT,
        prefix="mgmt_frontend",
        image=image,
        command=("management-frontend", *_listen(settings, MANAGEMENT_PORT)),
        labels={**_labels(settings, Role.MANAGEMENT), MANAGEMENT_LABEL: "", **_parts(settings)},
        environment=_frontend_environment(settings, store),
        ports=(port,),
        reaches_host=store.on_host,
    )


def query_container(
    settings: ClusterSettings, options: ClusterOptions, store: StoreAddress
) -> ContainerSpec:
    """Return the query frontend; models dial the name of its container."""
    flags: dict[str, object] = {
        "--rpc-port": RPC_PORT,
        "--prediction-cache-size": options.cache_size_bytes,
        "--workers": options.qf_http_thread_pool_size,
        "--timeout-request": options.qf_http_timeout_request_s,
        "--timeout-content": options.qf_http_timeout_content_s,
    }
    words = [text for flag, value in flags.items() for text in (flag, str(value))]
    ports = [
        (QUERY_PORT, settings.query_port, QUERY_PORT_LABEL, "query frontend"),
        (RPC_PORT, settings.rpc_port, RPC_PORT_LABEL, "query frontend's model RPC"),
    ]
    return ContainerSpec(
        role=Role.QUERY,
        prefix="query_frontend",
        image=options.query_frontend_image,
        command=("query-frontend", *_listen(settings, QUERY_PORT), *words),
        labels={**_labels(settings, Role.QUERY), QUERY_LABEL: "", **_parts(settings)},
        environment=_frontend_environment(settings, store),
        own_name_variable="CLIPPER_ADVERTISE_HOST",
        ports=tuple(
            PortSpec(
                inner=inner,
                wanted=wanted,
                host=settings.bind_address,
                label=label,
                purpose=purpose,
            )
            for inner, wanted, label, purpose in ports
        ),
        reaches_host=store.on_host,
    )


def prometheus_container(settings: ClusterSettings, image: str) -> ContainerSpec:
    """Return Prometheus; its targets' file is written whenever containers come and go."""
    port = PortSpec(
        inner=PROMETHEUS_PORT,
        wanted=settings.prometheus_port,
        host=settings.bind_address,
        label=METRIC_PORT_LABEL,
        purpose="Prometheus",
    )
    return ContainerSpec(
        role=Role.METRICS,
        prefix="metric_frontend",
        image=image,
        command=(
            f"--config.file={targets.CONFIG_FILE}",
            "--storage.tsdb.path=/prometheus",
            "--web.enable-lifecycle",
        ),
        labels={
            **_labels(settings, Role.METRICS),
            METRIC_CONFIG_LABEL: targets.CONFIG_FILE,
        },
        ports=(port,),
        files={
            targets.CONFIG_FILE: targets.configuration(),
            targets.TARGETS_FILE: targets.target_groups([], []),
        },
    )


def logging_container(settings: ClusterSettings) -> ContainerSpec:
    """Return the collector of centralized logging; the engine itself sends it the output."""
    port = PortSpec(
        inner=central_logging.FLUENTD_PORT,
        wanted=settings.fluentd_port,
        host="127.0.0.1",
        label=central_logging.PORT_LABEL,
        purpose="fluentd",
        protocols=("tcp", "udp"),
    )
    return ContainerSpec(
        role=Role.LOGGING,
        prefix="fluentd",
        image=settings.fluentd_image,
        labels={
            **_labels(settings, Role.LOGGING),
            central_logging.CONFIG_LABEL: central_logging.CONFIG_FILE,
        },
        ports=(port,),
        files={central_logging.CONFIG_FILE: central_logging.configuration()},
    )


def model_container(
    settings: ClusterSettings, model: Model, image: str, frontend: str, environ: Mapping[str, str]
) -> ContainerSpec:
    """Return one replica.

    Args:
        image: name or id to run it from.
        frontend: container name of the query frontend.
        environ: the deploying user's, for the number of threads.
    """
    label = create_model_container_label(model.name, model.version)
    environment = {
        "CLIPPER_MODEL_NAME": model.name,
        "CLIPPER_MODEL_VERSION": model.version,
        "CLIPPER_IP": frontend,
        "CLIPPER_PORT": str(RPC_PORT),
        "CLIPPER_INPUT_TYPE": model.input_type,
    }
    if settings.token:
        environment["CLIPPER_TOKEN"] = settings.token
    return ContainerSpec(
        role=Role.MODEL,
        prefix=label,
        image=image,
        labels={
            **_labels(settings, Role.MODEL),
            MODEL_LABEL: label,
            IMAGE_LABEL: model.image,
            INPUT_TYPE_LABEL: model.input_type,
        },
        # Limits of threads are a default that extra_container_kwargs may change.
        environment=thread_settings(environ) | extra_environment(settings.extra) | environment,
    )


def metrics_host(container_name: str, container_id: str) -> str:
    """Return the name under which Prometheus reaches a container.

    That is the container's own; one that is too long for DNS is replaced by the short id, which
    Docker's name server knows as well.
    """
    return container_name if len(container_name) <= _DNS_LABEL_LIMIT else container_id[:_SHORT_ID]


def _labels(settings: ClusterSettings, role: Role) -> dict[str, str]:
    return {CLUSTER_LABEL: settings.cluster_name, ROLE_LABEL: role.value}


def _parts(settings: ClusterSettings) -> dict[str, str]:
    parts = [Role.MANAGEMENT, Role.QUERY]
    if external_store(settings) is None:
        parts.append(Role.STORE)
    if settings.prometheus_image is not None:
        parts.append(Role.METRICS)
    if settings.centralized_log:
        parts.append(Role.LOGGING)
    return {PARTS_LABEL: ",".join(parts)}


def _listen(settings: ClusterSettings, port: int) -> list[str]:
    return ["--host", "0.0.0.0", "--port", str(port), "--cluster-name", settings.cluster_name]


def _frontend_environment(settings: ClusterSettings, store: StoreAddress) -> dict[str, str]:
    environment = {"CLIPPER_REDIS_URL": store.url}
    if settings.token:
        environment["CLIPPER_TOKEN"] = settings.token
    return environment
