"""`up`, and `manifests` with the same options: how a cluster is started."""

from __future__ import annotations

import signal
import threading
from typing import Annotated, Any

import typer

from clipper.admin.cluster import DEFAULT_PREDICTION_CACHE_SIZE_BYTES, cluster_options
from clipper.admin.connection import ClipperConnection
from clipper.cli import context
from clipper.cli.global_options import on_command_line
from clipper.cli.modes import IN_CONTAINERS, Mode, require_mode
from clipper.cli.output import Output
from clipper.cli.start_options import (
    DOCKER_PANEL,
    HOST_PANEL,
    Autoscale,
    CacheSize,
    CreateNamespace,
    Frontends,
    MaxFrontends,
    NoPrometheus,
    NoStorage,
    PullSecrets,
    RedisIp,
    RedisPort,
    RedisUrl,
    RegistryOfImages,
    ServiceTypes,
    Storage,
    StorageClass,
    Token,
    Wanted,
    Workers,
)  # fmt: skip
from clipper.errors import ClipperException


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
        typer.Option(rich_help_panel=HOST_PANEL, help="Address to listen on; default 127.0.0.1."),
    ] = None,
    query_port: Annotated[
        int | None,
        typer.Option(rich_help_panel=HOST_PANEL, help="HTTP port of predictions; default 1337."),
    ] = None,
    mgmt_port: Annotated[
        int | None,
        typer.Option(
            "--mgmt-port", "--management-port", rich_help_panel=HOST_PANEL,
            help="HTTP port of management; default 1338.",
        ),
    ] = None,
    rpc_port: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=HOST_PANEL,
            help="Port that model containers dial, one more for each worker; default 7000.",
        ),
    ] = None,
    isolated: Annotated[
        bool,
        typer.Option(
            rich_help_panel=HOST_PANEL, help="Local: give every model an environment of its own."
        ),
    ] = False,
    redis_url: RedisUrl = None,
    redis_ip: RedisIp = None,
    redis_port: RedisPort = None,
    prometheus_port: Annotated[
        int | None, typer.Option(rich_help_panel=DOCKER_PANEL, help="Host port of Prometheus.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=DOCKER_PANEL, help="Network of the containers; made if absent."
        ),
    ] = None,
    create_namespace: CreateNamespace = False,
    frontends: Frontends = None,
    max_frontends: MaxFrontends = None,
    autoscale: Autoscale = False,
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
        token, create_namespace, max_frontends, autoscale, storage, no_storage, storage_class,
        service_type, pull_secret,
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
    autoscale: Autoscale = False,
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
    if session.choice.mode is not Mode.KUBERNETES:
        raise ClipperException(
            f"There are no manifests in --mode {session.choice.mode}: use --mode kubernetes"
        )
    wanted = Wanted(
        frontends, registry, no_prometheus, redis_url, redis_ip, redis_port, token, False,
        max_frontends, autoscale, storage, no_storage, storage_class, service_type, pull_secret,
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
    if on_command_line(ctx, "registry"):
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
