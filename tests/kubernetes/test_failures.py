"""Models that do not run: what the user is told, and that nothing is left of them."""

from __future__ import annotations

import concurrent.futures
from pathlib import Path

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.errors import ClipperException
from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import eventually
from tests.e2e.kubernetes_clusters import KubernetesCluster, kubernetes_manager

CLOSURE = stock_image("python311-closure-container")
TOO_SMALL = {"requests": {"cpu": "10m", "memory": "24Mi"}, "limits": {"memory": "24Mi"}}


def another_connection(cluster: KubernetesCluster) -> ClipperConnection:
    """Return one for a thread of its own."""
    name = cluster.manager.cluster_name
    connection = ClipperConnection(kubernetes_manager(cluster.api, cluster.namespace, name))
    connection.connect()
    return connection


def said_of(cluster: KubernetesCluster, model: str, image: str, data: str = "") -> str:
    """Deploy a model that cannot run; return what is said of it."""
    connection = another_connection(cluster)
    if data:
        image = connection.build_model(model, 1, data, image)
    with pytest.raises(ClipperException) as caught:
        connection.deploy_model(model, 1, "doubles", image)
    return str(caught.value)


def nothing_left(cluster: KubernetesCluster) -> bool:
    pods = cluster.core.list_namespaced_pod(cluster.namespace).items
    return not any("ai.clipper.model_container.label" in pod.metadata.labels for pod in pods)


def test_models_that_do_not_run(cluster: KubernetesCluster, tmp_path: Path) -> None:
    """All at once: each takes as long as Kubernetes waits before it starts a container again."""
    # Loading it evaluates the expression.
    (tmp_path / "func.pkl").write_bytes(b"cbuiltins\neval\n(V1 / 0\ntR.")
    absent = "127.0.0.1:1/absent:1"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        unpulled = pool.submit(said_of, cluster, "unpulled", absent)
        raising = pool.submit(said_of, cluster, "raising", CLOSURE, str(tmp_path))

    text = unpulled.result()
    assert "its image cannot be pulled" in text
    assert absent in text
    assert "connection refused" in text
    text = raising.result()
    assert "exited with status 1" in text
    assert "ZeroDivisionError" in text
    assert "Last lines of pod raising-1-deployment-at-" in text
    assert cluster.manager._inventory.models() == []
    assert cluster.connection.get_all_models() == []
    eventually(lambda: nothing_left(cluster), "no pod is left", timeout_s=60)


def test_a_model_that_needs_too_much_memory(cluster: KubernetesCluster) -> None:
    name = cluster.manager.cluster_name
    small = kubernetes_manager(
        cluster.api, cluster.namespace, name, prometheus_image=None, model_resources=TOO_SMALL
    )
    connection = ClipperConnection(small)
    connection.start_clipper()
    try:
        with pytest.raises(ClipperException) as caught:
            connection.deploy_model("big", 1, "doubles", stock_image("noop-container"))
    finally:
        cluster.connection.start_clipper()
    assert "needed more memory than its limit (model_resources raises it)" in str(caught.value)
    assert cluster.connection.get_all_models() == []
