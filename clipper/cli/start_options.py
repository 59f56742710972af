"""Options of `up` and `manifests`, declared once, and what they mean to the manager."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from clipper.cli.modes import ABSENT
from clipper.errors import ClipperException
from clipper.managers.stock_images import (
    FRONTEND_IMAGE,
    MANAGEMENT_IMAGE,
    PROMETHEUS_IMAGE,
    REGISTRY,
    stock_image,
)

HOST_PANEL = "On this host (local, docker)"
_STORE = "Store"
DOCKER_PANEL = "With --mode docker"
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
Autoscale = Annotated[
    bool,
    typer.Option(
        "--autoscale", rich_help_panel=_KUBERNETES,
        help="Let models with bounds follow their load: see `clipper models autoscale`.",
    ),
]  # fmt: skip
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
    autoscale: bool
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
            "autoscale_models": self.autoscale or None,
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
