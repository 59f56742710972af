"""Accounts and rights of a cluster's pods, the least that each needs. Pure.

Nothing here reaches beyond the namespace: an operator without rights on the whole cluster can
start Clipper, and two namespaces cannot disturb each other.
"""

from __future__ import annotations

from typing import Any

from clipper.managers.kubernetes import names, pods
from clipper.managers.kubernetes.settings import KubernetesSettings

_RBAC = "rbac.authorization.k8s.io"

_SCRAPING: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
]
_SCALING: list[dict[str, Any]] = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]},
]


def access_objects(settings: KubernetesSettings) -> list[dict[str, Any]]:
    """Return the accounts; roles only for those that speak to the API."""
    cluster = settings.cluster_name
    management = names.of_cluster("mgmt-frontend", cluster)
    metrics = names.of_cluster("metrics", cluster)
    found = [_account(settings, names.anchor(cluster)), _account(settings, management)]
    if settings.autoscale_models:
        found += _granted(settings, management, management, _SCALING)
    if settings.prometheus_image is not None:
        found.append(_account(settings, metrics))
        found += _granted(settings, f"{cluster}-prometheus", metrics, _SCRAPING)
    return found


def _account(settings: KubernetesSettings, name: str) -> dict[str, Any]:
    return pods.named_object(
        "v1", "ServiceAccount", name, settings, automountServiceAccountToken=False
    )


def _granted(
    settings: KubernetesSettings, role: str, account: str, rules: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    version = f"{_RBAC}/v1"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": settings.namespace}
    return [
        pods.named_object(version, "Role", role, settings, rules=rules),
        pods.named_object(
            version, "RoleBinding", role, settings,
            roleRef={"apiGroup": _RBAC, "kind": "Role", "name": role},
            subjects=[subject],
        ),
    ]  # fmt: skip
