"""Clusters on Kubernetes for end-to-end tests, looked at through the API server's own eyes."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from clipper.admin.connection import ClipperConnection
from tests.e2e.clusters import Cluster
from tests.kubernetes_api import KubernetesApi
from tests.stock import StockImages

if TYPE_CHECKING:  # the package is an extra: without it, tests are skipped with that reason
    from clipper.managers.kubernetes import KubernetesContainerManager

MODEL_RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
FRONTEND_RESOURCES = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}
"""Small, so that many fit on a node of two cores."""


class KubernetesCluster(Cluster):
    """A cluster in a namespace of the test's own."""

    def __init__(self, connection: ClipperConnection, manager: Any, api: KubernetesApi) -> None:
        super().__init__(connection, manager)
        self.api = api
        self.core = api.core

    @property
    def namespace(self) -> str:
        name: str = self.manager.status()["state_dir"].rpartition(" ")[2]
        return name

    def pods(self, role: str) -> list[Any]:
        """Return a role's pods that are not ending; roles as `ContainerManager.status` has them."""
        rows = [row for row in self.manager.status()["children"] if row["role"] == role]
        names = {row["log"].rpartition(" ")[2] for row in rows if row["state"] != "ending"}
        found = self.core.list_namespaced_pod(self.namespace).items
        return sorted((p for p in found if p.metadata.name in names), key=lambda p: p.metadata.name)

    def ready(self, role: str) -> int:
        """Return how many pods of a role are ready."""
        return sum(
            any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
            for pod in self.pods(role)
        )


def kubernetes_manager(
    api: KubernetesApi, namespace: str, name: str = "", **options: Any
) -> KubernetesContainerManager:
    """Return a manager of a cluster in a namespace of the test's own."""
    from clipper.managers.kubernetes import KubernetesContainerManager

    given: dict[str, Any] = {
        "kubeconfig": str(api.kubeconfig),
        "namespace": namespace,
        "useInternalIP": True,
        "redis_storage": None,
        "model_resources": MODEL_RESOURCES,
        "frontend_resources": FRONTEND_RESOURCES,
    }
    return KubernetesContainerManager(name or f"t-{uuid.uuid4().hex[:6]}", **(given | options))


@contextlib.contextmanager
def kubernetes_cluster(
    api: KubernetesApi,
    images: StockImages,
    *families: str,
    namespace: str,
    start: Mapping[str, Any] | None = None,
    name: str = "",
    **options: Any,
) -> Iterator[KubernetesCluster]:
    """Start a cluster; afterwards nothing of it is left.

    Args:
        images: builds what is needed.
        families: of models that will be deployed.
        namespace: of the test's own.
        start: further arguments of `ClipperConnection.start_clipper`.
        name: of the cluster.
        options: further arguments of `KubernetesContainerManager`.
    """
    images.need("frontend", "prometheus", *families)
    manager = kubernetes_manager(api, namespace, name, **options)
    connection = ClipperConnection(manager)
    try:
        connection.start_clipper(**(start or {}))
        yield KubernetesCluster(connection, manager, api)
    finally:
        connection.stop_all(graceful=False)
        manager.delete_state()
