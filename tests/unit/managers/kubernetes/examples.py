"""Clusters of every kind, as the objects that they are made of."""

from __future__ import annotations

from typing import Any

from clipper.managers.base import ClusterOptions
from clipper.managers.kubernetes import cluster, models, names, policies
from clipper.managers.kubernetes.cluster import Offers
from clipper.managers.kubernetes.settings import KubernetesSettings

TOKEN = "the-token-of-the-models"
PASSWORD = "the-password-of-the-store"
FOREIGN_PASSWORD = "the-password-of-another-redis"

OPTIONS = ClusterOptions("clipper/query:1", "clipper/mgmt:1", "clipper/exporter:1")
MODEL = models.Model("digits", "1", "doubles", "digits:1")

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "without a volume": {"redis_storage": None},
    "own storage class": {"redis_storage_class": "fast"},
    "external store": {"redis_url": f"redis://:{FOREIGN_PASSWORD}@r:6379/0"},
    "prometheus": {"prometheus_image": "prometheus:1"},
    "autoscaled": {"max_frontend_replicas": 4, "autoscale_models": True},
    "pulled with a secret": {"image_pull_secrets": ("registry",), "token": TOKEN},
    "load balancers": {
        "prometheus_image": "prometheus:1",
        "service_types": dict.fromkeys(
            ("redis", "management", "query", "query-rpc", "metric"), "LoadBalancer"
        ),
    },
    "foreign models": {"model_probes": False},
    "everything": {
        "prometheus_image": "prometheus:1", "max_frontend_replicas": 3, "autoscale_models": True,
        "token": TOKEN,
    },
}  # fmt: skip
"""Name → what is not as usual."""


def settings(case: str = "everything", name: str = "c", namespace: str = "n") -> KubernetesSettings:
    return KubernetesSettings(cluster_name=name, namespace=namespace, **CASES[case])


def objects(
    case: str = "everything",
    name: str = "c",
    offers: Offers = Offers(),  # noqa: B008 - frozen
    frontends: int = 2,
    namespace: str = "n",
) -> list[dict[str, Any]]:
    """Return all objects of a cluster that runs one model."""
    chosen = settings(case, name, namespace)
    options = ClusterOptions(
        OPTIONS.query_frontend_image, OPTIONS.mgmt_frontend_image, OPTIONS.frontend_exporter_image,
        num_frontend_replicas=frontends, qf_http_thread_pool_size=2,
    )  # fmt: skip
    found = [
        cluster.anchor_object(chosen, options),
        *cluster.cluster_objects(chosen, options, offers, PASSWORD),
        models.model_deployment(chosen, MODEL, 2, {}),
    ]
    if offers.budget is not None:
        deployment = names.model_deployment(MODEL.name, MODEL.version, name)
        found.append(policies.model_budget(chosen, offers.budget, MODEL.label, deployment))
    return found


def of_kind(found: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [one for one in found if one["kind"] in kinds]


def workloads(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return of_kind(found, "Deployment", "StatefulSet")


def template_labels(workload: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def pod_spec(workload: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def selected(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()
