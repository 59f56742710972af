"""What a cluster on Kubernetes is made with, checked; and what of it is written down there."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from clipper.errors import ClipperException
from clipper.managers.base import REDIS_PORT

SERVICE_KEYS = ("redis", "management", "query", "query-rpc", "metric")
"""What `service_types` may name (spec §10.6)."""

SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")

DEFAULT_SERVICE_TYPES: Mapping[str, str] = {
    "redis": "ClusterIP",
    "management": "NodePort",
    "query": "NodePort",
    "query-rpc": "ClusterIP",
    "metric": "NodePort",
}
"""Store and RPC stay inside: only Clipper's own pods have business with them."""

FRONTEND_RESOURCES: Mapping[str, Any] = {
    "requests": {"cpu": "200m", "memory": "256Mi"},
    "limits": {"memory": "1Gi"},
}
SERVICE_RESOURCES: Mapping[str, Any] = {
    "requests": {"cpu": "50m", "memory": "128Mi"},
    "limits": {"memory": "1Gi"},
}
"""Of the management frontend, the store and Prometheus."""

MODEL_RESOURCES: Mapping[str, Any] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"memory": "4Gi"},
}
"""No limit of CPU anywhere: throttling shows up as late predictions, not as saved money."""

_CLUSTER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_CLUSTER_NAME_LIMIT = 34
"""The name of a StatefulSet, with the hash of a revision, has to fit into a label."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """What the manager was constructed with."""

    cluster_name: str
    namespace: str = "default"
    service_types: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: dict(DEFAULT_SERVICE_TYPES)
    )
    redis_url: str | None = None
    """An existing Redis; None: a store of the cluster's own."""
    redis_port: int = REDIS_PORT
    """Of the own store's Service."""
    redis_storage: str | None = "1Gi"
    """Size of the own store's volume; None: its data end with its pod."""
    redis_storage_class: str | None = None
    """None: the cluster's default class."""
    token: str | None = None
    existing_secret: str | None = None
    """Name of the Secret with the store's address, its password and the token; None: the cluster's
    own one, made of these settings."""
    image_pull_secrets: tuple[str, ...] = ()
    image_pull_policy: str = "IfNotPresent"
    prometheus_image: str | None = None
    store_image: str | None = None
    """None: the query frontend's."""
    max_frontend_replicas: int | None = None
    """With a number, a HorizontalPodAutoscaler keeps the frontends between this and theirs."""
    autoscale_models: bool = False
    """Whether the management frontend scales those models that have bounds."""
    autoscale_cool_down_s: int = 60
    """How long fewer replicas must have been enough before some are removed."""
    network_policies: bool = True
    frontend_resources: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: dict(FRONTEND_RESOURCES)
    )
    model_resources: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: dict(MODEL_RESOURCES)
    )
    model_probes: bool = True
    """Whether model pods have probes: a foreign container may have neither of what they ask."""

    @property
    def own_store(self) -> bool:
        """Whether the cluster runs its own store."""
        return self.redis_url is None


def check_kubernetes_name(cluster_name: str) -> None:
    """Return if the cluster's objects can be named after it.

    Raises:
        ClipperException: they cannot.
    """
    if not _CLUSTER_NAME.fullmatch(cluster_name) or len(cluster_name) > _CLUSTER_NAME_LIMIT:
        raise ClipperException(
            f"Invalid value: {cluster_name[:100]}: on Kubernetes a cluster name consists of lower "
            "case letters, digits and '-', begins and ends with a letter or digit, and has at "
            f"most {_CLUSTER_NAME_LIMIT} characters."
        )


def check_service_types(given: object) -> dict[str, str]:
    """Return the type of every service: those that are given, and defaults for the others.

    Raises:
        ClipperException: not a dictionary, or a name or type that there is not (spec §10.6).
    """
    if not isinstance(given, dict):
        raise ClipperException(f"service_types must be 'dict' type: {type(given).__name__}")
    if unknown := sorted(str(key) for key in given if key not in SERVICE_KEYS):
        raise ClipperException(
            f"service_types has unknown keys: {', '.join(unknown)}. Use {', '.join(SERVICE_KEYS)}"
        )
    if "ExternalName" in given.values():
        raise ClipperException("Clipper does not support 'ExternalName' service")
    if unknown := sorted({str(value) for value in given.values() if value not in SERVICE_TYPES}):
        raise ClipperException(
            f"service_types has unknown values: {', '.join(unknown)}. "
            f"Use {', '.join(SERVICE_TYPES)}"
        )
    return {**DEFAULT_SERVICE_TYPES, **given}


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterRecord:
    """What the anchor tells of a running cluster, so that any client finds it as it was made."""

    service_types: Mapping[str, str]
    own_store: bool
    prometheus: bool
    workers: int
    image_pull_secrets: Sequence[str]
    model_resources: Mapping[str, Any]
    model_probes: bool
    autoscale_models: bool = False
    existing_secret: str | None = None

    @classmethod
    def of(cls, settings: KubernetesSettings, workers: int) -> ClusterRecord:
        """Return the record of these settings."""
        return cls(
            service_types=dict(settings.service_types),
            own_store=settings.own_store,
            prometheus=settings.prometheus_image is not None,
            workers=workers,
            image_pull_secrets=list(settings.image_pull_secrets),
            model_resources=dict(settings.model_resources),
            model_probes=settings.model_probes,
            autoscale_models=settings.autoscale_models,
            existing_secret=settings.existing_secret,
        )

    def applied_to(self, settings: KubernetesSettings) -> KubernetesSettings:
        """Return the settings with what the running cluster was made with."""
        return dataclasses.replace(
            settings,
            service_types=dict(self.service_types),
            prometheus_image=settings.prometheus_image if self.prometheus else None,
            image_pull_secrets=tuple(self.image_pull_secrets),
            model_resources=dict(self.model_resources),
            model_probes=self.model_probes,
            autoscale_models=self.autoscale_models,
            existing_secret=self.existing_secret,
        )

    def to_json(self) -> str:
        """Return the text that the anchor holds; equal records give equal texts."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ClusterRecord:
        """Read what `to_json` wrote.

        Raises:
            ClipperException: another version of Clipper wrote it, and this one cannot read it.
        """
        try:
            known = {field.name for field in dataclasses.fields(cls)}
            return cls(**{name: value for name, value in json.loads(text).items() if name in known})
        except (ValueError, TypeError, AttributeError) as error:
            raise ClipperException(
                f"The cluster's own record cannot be read ({error}): it was started by another "
                "version of Clipper. Use that version, or start the cluster again with this one."
            ) from error
