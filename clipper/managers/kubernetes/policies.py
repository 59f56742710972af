"""What protects a running cluster: network policies, disruption budgets, autoscaling. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from clipper.managers.base import (
    MANAGEMENT_PORT,
    METRIC_PORT,
    QUERY_PORT,
    REDIS_PORT,
    RPC_PORT,
    ClusterOptions,
)
from clipper.managers.kubernetes import names, pods
from clipper.managers.kubernetes.monitoring import PROMETHEUS_PORT
from clipper.managers.kubernetes.settings import KubernetesSettings

BUDGET_VERSIONS = ("policy/v1", "policy/v1beta1")
"""Newest first."""
AUTOSCALER_VERSIONS = ("autoscaling/v2", "autoscaling/v2beta2", "autoscaling/v1")
"""Newest first."""

_CPU_PERCENT = 70
_CALM_S = 300
"""How long the load must be low before a frontend is taken away."""


def newest(wanted: Collection[str], offered: Collection[str]) -> str | None:
    """Return the first of the wanted API versions that the cluster offers; None: it has none."""
    return next((version for version in wanted if version in offered), None)


def network_policies(settings: KubernetesSettings, workers: int) -> list[dict[str, Any]]:
    """Return who may connect to what: the store, model RPC and metrics are for Clipper alone.

    Args:
        workers: of each query frontend; each has an RPC port of its own.
    """
    frontends = pods.same_cluster(settings, names.QUERY, names.MANAGEMENT)
    models = pods.same_cluster(settings, names.MODEL)
    inside_only = settings.service_types["query-rpc"] == "ClusterIP"
    rpc_ports = [RPC_PORT + index for index in range(workers)]
    rules = {
        names.QUERY: [
            _from(QUERY_PORT),
            _from(*rpc_ports, peers=[models] if inside_only else None),
        ],
        names.MANAGEMENT: [_from(MANAGEMENT_PORT)],
        names.MODEL: [_from(METRIC_PORT)],
    }
    if settings.own_store:
        rules[names.STORE] = [_from(REDIS_PORT, peers=[frontends])]
    if settings.prometheus_image is not None:
        rules[names.METRICS] = [_from(PROMETHEUS_PORT)]
    return [_policy(settings, role, ingress) for role, ingress in rules.items()]


def _from(*ports: int, peers: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return a rule; no peers: everybody."""
    rule: dict[str, Any] = {"ports": [{"port": number, "protocol": "TCP"} for number in ports]}
    return rule if peers is None else rule | {"from": peers}


def _policy(
    settings: KubernetesSettings, role: str, ingress: list[dict[str, Any]]
) -> dict[str, Any]:
    spec = {
        "podSelector": {"matchLabels": names.selector(settings.cluster_name, role)},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }
    name = names.of_cluster(role, settings.cluster_name)
    return pods.named_object(
        "networking.k8s.io/v1", "NetworkPolicy", name, settings, role, spec=spec
    )


def frontend_budget(settings: KubernetesSettings, version: str) -> dict[str, Any]:
    """Return what keeps a drained node from taking several query frontends at once."""
    selector = names.selector(settings.cluster_name, names.QUERY)
    name = names.of_cluster("query-frontend", settings.cluster_name)
    return _budget(settings, version, name, names.QUERY, selector)


def model_budget(
    settings: KubernetesSettings, version: str, label: str, name: str
) -> dict[str, Any]:
    """Return the same for the replicas of a model version.

    Args:
        version: of the policy API.
        label: of the model version.
        name: of its Deployment.
    """
    selector = names.selector(settings.cluster_name, names.MODEL, label)
    budget = _budget(settings, version, name, names.MODEL, selector)
    budget["metadata"]["labels"] = names.labels(settings.cluster_name, names.MODEL, label)
    return budget


def _budget(
    settings: KubernetesSettings, version: str, name: str, role: str, selector: dict[str, str]
) -> dict[str, Any]:
    # Not "at least one": that would keep a node with the only pod from ever being drained.
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": selector}}
    return pods.named_object(version, "PodDisruptionBudget", name, settings, role, spec=spec)


def frontend_autoscaler(
    settings: KubernetesSettings, options: ClusterOptions, version: str
) -> dict[str, Any] | None:
    """Return what scales the query frontends by CPU, which is what they run out of.

    None: their number is fixed.
    """
    if settings.max_frontend_replicas is None:
        return None
    name = names.of_cluster("query-frontend", settings.cluster_name)
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name},
        "minReplicas": options.num_frontend_replicas,
        "maxReplicas": max(options.num_frontend_replicas, settings.max_frontend_replicas),
    }
    if version == "autoscaling/v1":
        spec["targetCPUUtilizationPercentage"] = _CPU_PERCENT
    else:
        target = {"type": "Utilization", "averageUtilization": _CPU_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        spec["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": _CALM_S}}
    return pods.named_object(
        version, "HorizontalPodAutoscaler", name, settings, names.QUERY, spec=spec
    )
