"""A user with rights on one namespace only, as most users of a shared Kubernetes are."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.kubernetes_api import KubernetesApi

_NAME = "namespace-admin"


def admin_of(api: KubernetesApi, namespace: str, directory: Path) -> Path:
    """Return a kubeconfig of a user who has the role ``admin`` in the namespace, and no other."""
    from kubernetes import client

    api.core.create_namespaced_service_account(namespace, {"metadata": {"name": _NAME}})
    group = "rbac.authorization.k8s.io"
    client.RbacAuthorizationV1Api(api.client).create_namespaced_role_binding(
        namespace,
        {
            "metadata": {"name": _NAME},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": namespace}],
        },
    )
    answer = api.core.create_namespaced_service_account_token(
        _NAME, namespace, {"spec": {"expirationSeconds": 3600}}
    )
    content = yaml.safe_load(api.kubeconfig.read_text())
    current = content["current-context"]
    [context] = [one["context"] for one in content["contexts"] if one["name"] == current]
    content["users"] = [{"name": _NAME, "user": {"token": answer.status.token}}]
    content["contexts"] = [{"name": _NAME, "context": context | {"user": _NAME}}]
    path = directory / "admin-of-a-namespace.conf"
    path.write_text(yaml.safe_dump(content | {"current-context": _NAME}))
    return path
