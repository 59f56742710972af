"""`up`, and `manifests` with the same options: how a cluster is started."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from clipper.admin.cluster import DEFAULT_PREDICTION_CACHE_SIZE_BYTES, cluster_options
from clipper.admin.connection import ClipperConnection
from clipper.cli import context
from clipper.cli.modes import ABSENT, IN_CONTAINERS, Mode, require_mode
from clipper.cli.output import Output
from clipper.errors import ClipperException
from clipper.managers.stock_images import (
    FRONTEND_IMAGE,
    MANAGEMENT_IMAGE,
    PROMETHEUS_IMAGE,
    REGISTRY,
    stock_image,
)

_HOST = "On this host (local, docker)"
_STORE = "Store"
_DOCKER = "With --mode docker"
_KUBERNETES = "With --mode kubernetes"

Workers = Annotated[int, typer.Option(min=1, help="Processes of each query frontend.")]
CacheSize = Annotated[int, typer.Option(min=0, help="Prediction cache of each worker, in bytes.")]
Token = Annotated[
    str | None,
    typer.Option(envvar="CLIPPER_TOKEN", help="Secret that model containers must present."),
]
RegistryOfImages = Annotated[
    str | None,
    typer.Option(
        "--registry", envvar="CLIPPER_REGISTRY", show_default="clipper",
        help="Docker, Kubernetes: registry that the names of Clipper's own images begin with.",
    ),
]  # fmt: skip
NoPrometheus = Annotated[
    bool, typer.Option("--no-prometheus", help="Docker, Kubernetes: start no Prometheus.")
]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_STORE, help="Use this Redis instead of a store of the cluster's own."
    ),
]
RedisIp = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_STORE,
        help="Docker, Kubernetes: host of a Redis, instead of its whole URL.",
    ),
]
RedisPort = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_STORE,
        help="Docker, Kubernetes: its port, or the port under which the own store is reached.",
    ),
]
CreateNamespace = Annotated[
    bool,
    typer.Option(
        "--create-namespace", rich_help_panel=_KUBERNETES, help="Make the namespace if absent."
    ),
]
Frontends = Annotated[
    int | None, typer.Option(min=1, rich_help_panel=_KUBERNETES, help="Query frontends; default 1.")
]
MaxFrontends = Annotated[
    int | None,
    typer.Option(
        min=1, rich_help_panel=_KUBERNETES, help="Let Kubernetes add frontends, up to so many."
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", rich_help_panel=_KUBERNETES, help="Size of the store's volume; default 1Gi."
    ),
]
NoStorage = Annotated[
    bool,
    typer.Option(
        "--no-storage", rich_help_panel=_KUBERNETES,
        help="No volume: configuration and feedback are lost with the store's pod.",
    ),
]  # fmt: skip
StorageClass = Annotated[
    str | None,
    typer.Option(rich_help_panel=_KUBERNETES, help="Of the volume; default the cluster's own."),
]
ServiceTypes = Annotated[
    list[str] | None,
    typer.Option(
        "--service-type", metavar="NAME=TYPE", rich_help_panel=_KUBERNETES,
        help="Type of a Service, such as query=LoadBalancer; may be repeated.",
    ),
]  # fmt: skip
PullSecrets = Annotated[
    list[str] | None,
    typer.Option(
        "--pull-secret", metavar="NAME", rich_help_panel=_KUBERNETES,
        help="Secret with which nodes pull images; may be repeated.",
    ),
]  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for in containers; None and False where nothing was."""

    frontends: int | None
    registry: str | None
    no_prometheus: bool
    redis_url: str | None
    redis_ip: str | None
    redis_port: int | None
    token: str | None
    create_namespace: bool
    max_frontends: int | None
    storage: str | None
    no_storage: bool
    storage_class: str | None
    service_types: Sequence[str] | None
    pull_secrets: Sequence[str] | None

    def for_manager(self) -> dict[str, Any]:
        """Return arguments of the manager, None where nothing was said.

        Raises:
            ClipperException: two options contradict each other, or one is not of its form.
        """
        if self.no_storage and (self.storage or self.storage_class):
            raise ClipperException("--no-storage and --storage contradict each other; keep one")
        prometheus: Any = ABSENT if self.no_prometheus else None
        if self.registry not in (None, REGISTRY) and not self.no_prometheus:
            prometheus = stock_image(PROMETHEUS_IMAGE, self.registry)
        return {
            "redis_url": self.redis_url,
            "redis_ip": self.redis_ip,
            "redis_port": self.redis_port,
            "token": self.token,
            "prometheus_image": prometheus,
            "create_namespace_if_not_exists": self.create_namespace or None,
            "max_frontend_replicas": self.max_frontends,
            "redis_storage": ABSENT if self.no_storage else self.storage,
            "redis_storage_class": self.storage_class,
            "service_types": service_types(self.service_types),
            "image_pull_secrets": list(self.pull_secrets) if self.pull_secrets else None,
        }

    def for_start(self, cache_size: int, workers: int) -> dict[str, Any]:
        """Return arguments of `ClipperConnection.start_clipper`."""
        found: dict[str, Any] = {"cache_size": cache_size, "qf_http_thread_pool_size": workers}
        if self.registry is not None:
            found["query_frontend_image"] = stock_image(FRONTEND_IMAGE, self.registry)
            found["mgmt_frontend_image"] = stock_image(MANAGEMENT_IMAGE, self.registry)
        if self.frontends is not None:
            found["num_frontend_replicas"] = self.frontends
        return found


def service_types(given: Sequence[str] | None) -> dict[str, str] | None:
    """Return what ``NAME=TYPE`` options say; None: nothing was.

    Raises:
        ClipperException: one is not of that form.
    """
    if not given:
        return None
    found = {}
    for text in given:
        name, equals, kind = text.partition("=")
        if not equals:
            raise ClipperException(
                f"--service-type {text} is not NAME=TYPE; for example query=LoadBalancer"
            )
        found[name] = kind
    return found


def up(
    ctx: typer.Context,
    workers: Workers = 1,
    cache_size: CacheSize = DEFAULT_PREDICTION_CACHE_SIZE_BYTES,
    token: Token = None,
    registry: RegistryOfImages = None,
    no_prometheus: NoPrometheus = False,
    foreground: Annotated[
        bool, typer.Option(help="Stay until Ctrl-C or SIGTERM, then stop the cluster.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(rich_help_panel=_HOST, help="Address to listen on; default 127.0.0.1."),
    ] = None,
    query_port: Annotated[
        int | None,
        typer.Option(rich_help_panel=_HOST, help="HTTP port of predictions; default 1337."),
    ] = None,
    mgmt_port: Annotated[
        int | None,
        typer.Option(
            "--mgmt-port", "--management-port", rich_help_panel=_HOST,
            help="HTTP port of management; default 1338.",
        ),
    ] = None,
    rpc_port: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=_HOST,
            help="Port that model containers dial, one more for each worker; default 7000.",
        ),
    ] = None,
    isolated: Annotated[
        bool,
        typer.Option(
            rich_help_panel=_HOST, help="Local: give every model an environment of its own."
        ),
    ] = False,
    redis_url: RedisUrl = None,
    redis_ip: RedisIp = None,
    redis_port: RedisPort = None,
    prometheus_port: Annotated[
        int | None, typer.Option(rich_help_panel=_DOCKER, help="Host port of Prometheus.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_DOCKER, help="Network of the containers; made if absent."
        ),
    ] = None,
    create_namespace: CreateNamespace = False,
    frontends: Frontends = None,
    max_frontends: MaxFrontends = None,
    storage: Storage = None,
    no_storage: NoStorage = False,
    storage_class: StorageClass = None,
    service_type: ServiceTypes = None,
    pull_secret: PullSecrets = None,
) -> None:  # fmt: skip
    """Start a cluster; what ran in it before is started again.

    On Kubernetes a cluster that runs is brought to the options of this command, without losing a
    query; what is left out goes back to its default.
    """
    session = context.of(ctx)
    mode = session.choice.mode
    wanted = Wanted(
        frontends, _of_images(mode, ctx, registry), no_prometheus, redis_url, redis_ip, redis_port,
        token, create_namespace, max_frontends, storage, no_storage, storage_class, service_type,
        pull_secret,
    )  # fmt: skip
    if frontends is not None:
        require_mode(mode, "--frontends", frozenset({Mode.KUBERNETES}))
    if foreground and mode is Mode.KUBERNETES:
        raise ClipperException(
            "--foreground does not fit --mode kubernetes: the cluster runs on without it. "
            "`clipper logs --follow` follows it, `clipper down` stops it"
        )
    connection = session.connection(
        host=host,
        clipper_query_port=query_port,
        clipper_management_port=mgmt_port,
        clipper_rpc_port=rpc_port,
        prometheus_port=prometheus_port,
        docker_network=network,
        isolated_environments=isolated or None,
        **wanted.for_manager(),
    )
    ran = mode is Mode.KUBERNETES and connection.cm.status()["state"] == "running"
    doing = "Bringing up to date" if ran else "Starting"
    with session.output.progress(f"{doing} cluster {session.choice.name}"):
        connection.start_clipper(**wanted.for_start(cache_size, workers))
    what = f"Cluster {session.choice.name} was brought up to date" if ran else "Clipper is running"
    session.output.done(
        f"{what}: predictions at http://{connection.get_query_addr()}, "
        f"management at http://{connection.cm.get_admin_addr()}",
        **addresses(connection),
    )
    if foreground:
        _stay(connection, session.output)


def manifests(
    ctx: typer.Context,
    workers: Workers = 1,
    cache_size: CacheSize = DEFAULT_PREDICTION_CACHE_SIZE_BYTES,
    token: Token = None,
    registry: RegistryOfImages = None,
    no_prometheus: NoPrometheus = False,
    redis_url: RedisUrl = None,
    redis_ip: RedisIp = None,
    redis_port: RedisPort = None,
    frontends: Frontends = None,
    max_frontends: MaxFrontends = None,
    storage: Storage = None,
    no_storage: NoStorage = False,
    storage_class: StorageClass = None,
    service_type: ServiceTypes = None,
    pull_secret: PullSecrets = None,
    secrets: Annotated[
        bool,
        typer.Option(
            "--secrets", help="Also the Secret with the store's password and the token."
        ),
    ] = False,
) -> None:  # fmt: skip
    """Kubernetes: print, as YAML, what `up` with the same options would apply; change nothing.

    The Secret, which does not belong into files, is left out.
    """
    session = context.of(ctx)
    require_mode(session.choice.mode, "`clipper manifests`", frozenset({Mode.KUBERNETES}))
    wanted = Wanted(
        frontends, registry, no_prometheus, redis_url, redis_ip, redis_port, token, False,
        max_frontends, storage, no_storage, storage_class, service_type, pull_secret,
    )  # fmt: skip
    manager: Any = session.connection(**wanted.for_manager()).cm
    options = cluster_options(**wanted.for_start(cache_size, workers))
    session.output.text(manager.manifests(options, secrets=secrets).rstrip("\n"))


def _of_images(mode: Mode, ctx: Any, registry: str | None) -> str | None:
    """Return the registry where it matters.

    Raises:
        ClipperException: it was given to a mode without images.
    """
    if mode is not Mode.LOCAL:
        return registry
    source = ctx.get_parameter_source("registry")
    if registry is not None and source is not None and source.name == "COMMANDLINE":
        require_mode(mode, "--registry", IN_CONTAINERS)
    return None


def addresses(connection: ClipperConnection) -> dict[str, str]:
    """Return where the cluster's Services are, by what they are."""
    return {
        "query_address": connection.get_query_addr(),
        "management_address": connection.cm.get_admin_addr(),
        "metric_address": connection.get_metric_addr(),
    }


def _stay(connection: ClipperConnection, output: Output) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    output.note("Press Ctrl-C to stop the cluster")
    ended.wait()
    with output.progress("Stopping the cluster"):
        connection.stop_all()
