"""A Redis that is not the cluster's own: a pod, since pods of any Kubernetes reach that."""

from __future__ import annotations

from clipper.managers.stock_images import FRONTEND_IMAGE, stock_image
from tests.e2e.clusters import eventually
from tests.kubernetes_api import KubernetesApi

PASSWORD = "of-the-external-store"
_NAME = "external"


def external_store(api: KubernetesApi, namespace: str) -> str:
    """Start it and return its URL when it is ready; it goes with the namespace."""
    container = {
        "name": "store",
        "image": stock_image(FRONTEND_IMAGE),
        "imagePullPolicy": "IfNotPresent",
        "args": ["store", "--data-dir", "/data", "--host", "0.0.0.0", "--port", "6379"],
        "env": [{"name": "CLIPPER_REDIS_PASSWORD", "value": PASSWORD}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
    }
    metadata = {"name": _NAME, "labels": {"app": _NAME}}
    api.core.create_namespaced_service(
        namespace,
        {"metadata": metadata, "spec": {"selector": {"app": _NAME}, "ports": [{"port": 6379}]}},
    )
    api.core.create_namespaced_pod(
        namespace,
        {
            "metadata": metadata,
            "spec": {
                "containers": [container],
                "volumes": [{"name": "data", "emptyDir": {}}],
                "securityContext": {"runAsUser": 10001, "fsGroup": 10001},
                "terminationGracePeriodSeconds": 0,
            },
        },
    )
    eventually(lambda: _is_ready(api, namespace), "the external store is ready", timeout_s=60)
    return f"redis://:{PASSWORD}@{_NAME}.{namespace}:6379/0"


def _is_ready(api: KubernetesApi, namespace: str) -> bool:
    pod = api.core.read_namespaced_pod(_NAME, namespace)
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())
