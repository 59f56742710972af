"""A whole cluster as Kubernetes objects, in the order in which to make them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from clipper.managers.base import ClusterOptions
from clipper.managers.kubernetes import names, pods, policies
from clipper.managers.kubernetes.access import access_objects
from clipper.managers.kubernetes.frontends import management_objects, query_objects
from clipper.managers.kubernetes.monitoring import pod_monitor, prometheus_objects
from clipper.managers.kubernetes.settings import ClusterRecord, KubernetesSettings
from clipper.managers.kubernetes.store import secrets, store_objects

RECORD_KEY = "cluster.json"
"""Key of the anchor's data with the `ClusterRecord`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Offers:
    """What of the optional APIs a Kubernetes has, each in its newest version; None: not at all."""

    budget: str | None = policies.BUDGET_VERSIONS[0]
    autoscaler: str | None = policies.AUTOSCALER_VERSIONS[0]
    pod_monitor: bool = False


def anchor_object(settings: KubernetesSettings, options: ClusterOptions) -> dict[str, Any]:
    """Return the object that owns all others: what deletes it deletes the cluster."""
    record = ClusterRecord.of(settings, options.qf_http_thread_pool_size)
    return pods.named_object(
        "v1",
        "ConfigMap",
        names.anchor(settings.cluster_name),
        settings,
        data={RECORD_KEY: record.to_json()},
    )


def record_of(anchor: Mapping[str, Any]) -> ClusterRecord:
    """Return what the anchor tells.

    Raises:
        ClipperException: it cannot be read.
    """
    return ClusterRecord.from_json((anchor.get("data") or {}).get(RECORD_KEY, ""))


def cluster_objects(
    settings: KubernetesSettings, options: ClusterOptions, offers: Offers, password: str
) -> list[dict[str, Any]]:
    """Return everything but the anchor.

    Args:
        password: of the own store; unused with an existing Secret.
    """
    objects = [] if settings.existing_secret else [secrets(settings, password)]
    objects += access_objects(settings)
    if settings.network_policies:
        objects += policies.network_policies(settings, options.qf_http_thread_pool_size)
    if settings.own_store:
        objects += store_objects(settings, settings.store_image or options.query_frontend_image)
    objects += management_objects(settings, options.mgmt_frontend_image)
    objects += query_objects(settings, options)
    if settings.prometheus_image is not None:
        objects += prometheus_objects(
            settings, settings.prometheus_image, options.mgmt_frontend_image
        )
    if offers.budget is not None:
        objects.append(policies.frontend_budget(settings, offers.budget))
    if offers.autoscaler is not None:
        scaler = policies.frontend_autoscaler(settings, options, offers.autoscaler)
        objects += [] if scaler is None else [scaler]
    if offers.pod_monitor:
        objects.append(pod_monitor(settings))
    return objects
