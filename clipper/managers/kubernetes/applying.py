"""Bringing a cluster's core to what its settings say, and waiting until it is."""

from __future__ import annotations

import dataclasses
import secrets as random_secrets
from collections.abc import Sequence

from clipper.managers.base import ClusterOptions
from clipper.managers.kubernetes import cluster, policies, rendering, starting, store, upgrading
from clipper.managers.kubernetes.api import KubernetesApi, Object
from clipper.managers.kubernetes.inventory import Inventory
from clipper.managers.kubernetes.settings import KubernetesSettings


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a cluster's core shall consist of."""

    anchor: Object
    objects: Sequence[Object]
    """Everything that the anchor owns, but for models."""


def plan(
    api: KubernetesApi, settings: KubernetesSettings, inventory: Inventory, options: ClusterOptions
) -> Plan:
    """Return what is to be made; nothing is changed.

    Raises:
        ClipperException: an object of one of its names exists and is not this cluster's.
    """
    password = _password(api, settings)
    objects = cluster.cluster_objects(settings, options, offers(inventory), password)
    anchor = cluster.anchor_object(settings, options)
    for one in (anchor, *objects):
        inventory.refuse_foreign(one)
    return Plan(anchor, objects)


def carry_out(
    api: KubernetesApi, settings: KubernetesSettings, inventory: Inventory, planned: Plan
) -> None:
    """Make the core, or bring it up to date pod by pod; return when it is ready.

    Raises:
        ContainerStartError: a pod did not become ready.
    """
    owner = api.apply(planned.anchor)
    with upgrading.second_frontend(api, settings, planned.objects):
        inventory.apply(planned.objects, owner)
        inventory.prune([planned.anchor, *planned.objects])
        starting.wait_until_ready(api, settings)


def manifests(
    api: KubernetesApi,
    settings: KubernetesSettings,
    inventory: Inventory,
    options: ClusterOptions,
    *,
    secrets: bool,
) -> str:
    """Return what `carry_out` would apply, as YAML.

    Args:
        secrets: whether the Secret is there, too, with the password of the store that runs, or a
            new one.
    """
    objects = rendering.render(settings, options, offers(inventory))
    if secrets:
        objects.append(store.secrets(settings, _password(api, settings)))
    return rendering.to_yaml(objects)


def offers(inventory: Inventory) -> cluster.Offers:
    """Ask which optional APIs there are, and in which versions."""
    return cluster.Offers(
        budget=inventory.newest("PodDisruptionBudget", policies.BUDGET_VERSIONS),
        autoscaler=inventory.newest("HorizontalPodAutoscaler", policies.AUTOSCALER_VERSIONS),
        pod_monitor=inventory.may_monitor(),
    )


def _password(api: KubernetesApi, settings: KubernetesSettings) -> str:
    """Return the own store's password: the one that it runs with, or a new one."""
    return store.password_of(api, settings) or random_secrets.token_urlsafe(24)
