"""A cluster with a volume that is stopped and started again, and forgotten at last.

All of it by a user who may not look beyond the namespace, not even at nodes: through a proxy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from clipper.admin.connection import ClipperConnection
from clipper.managers.labels import CLUSTER_LABEL
from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import eventually
from tests.e2e.kubernetes_clusters import KubernetesCluster, kubernetes_manager
from tests.kubernetes.proxies import kubectl_proxy
from tests.kubernetes.users import admin_of
from tests.kubernetes_api import KubernetesApi
from tests.stock import StockImages

NAME = "lasting"
LABELLED = 5

RESOURCES = {
    "CoreV1Api": (
        "pod", "service", "endpoints", "config_map", "secret", "service_account",
        "persistent_volume_claim",
    ),
    "AppsV1Api": ("deployment", "stateful_set", "replica_set", "controller_revision"),
    "NetworkingV1Api": ("network_policy",),
    "CoordinationV1Api": ("lease",),
    "RbacAuthorizationV1Api": ("role", "role_binding"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the cluster is, and how its user gets at it."""

    namespace: str
    storage_class: str | None
    kubeconfig: Path
    proxy: str


@pytest.fixture
def place(kubernetes_api: KubernetesApi, tmp_path: Path) -> Iterator[Place]:
    with (
        kubernetes_api.persistent_volume() as storage_class,
        kubernetes_api.namespace() as namespace,
        kubectl_proxy(kubernetes_api.kubeconfig, tmp_path / "proxy.log") as proxy,
    ):
        kubeconfig = admin_of(kubernetes_api, namespace, tmp_path)
        yield Place(namespace, storage_class, kubeconfig, proxy)


def opened(api: KubernetesApi, place: Place) -> KubernetesCluster:
    """Return the cluster as a new client sees it."""
    manager = kubernetes_manager(
        api, place.namespace, NAME,
        kubeconfig=str(place.kubeconfig), kubernetes_proxy_addr=place.proxy, useInternalIP=False,
        redis_storage="1Gi", redis_storage_class=place.storage_class, prometheus_image=None,
    )  # fmt: skip
    return KubernetesCluster(ClipperConnection(manager), manager, api)


def left(api: KubernetesApi, namespace: str) -> set[tuple[str, str]]:
    """Return resource and name of all that has the cluster's label."""
    from kubernetes import client

    label = f"{CLUSTER_LABEL}={NAME}"
    found = set()
    for group, resources in RESOURCES.items():
        asked = getattr(client, group)(api.client)
        for resource in resources:
            listed = getattr(asked, f"list_namespaced_{resource}")(namespace, label_selector=label)
            found |= {(resource, one.metadata.name) for one in listed.items}
    return found


@pytest.mark.kubernetes_slow
def test_everything_is_back_after_a_stop_until_it_is_forgotten(
    kubernetes_api: KubernetesApi, stock_images: StockImages, place: Place
) -> None:
    stock_images.need("frontend", "sum")
    namespace = place.namespace
    cluster = opened(kubernetes_api, place)
    connection = cluster.connection
    connection.start_clipper()
    connection.register_application(
        "app", "doubles", "DEFAULT", 5_000_000, policy="ensemble", min_confidence=0.5
    )
    connection.deploy_model("m", 1, "doubles", stock_image("sum-container"), num_replicas=2)
    connection.link_model_to_app("app", "m")
    for number in range(LABELLED):
        answer = cluster.predict("app", input=[1.0, float(number)])
        feedback = {"query_id": answer["query_id"], "label": 1.0 + number}
        assert requests.post(cluster.url("app", "update"), json=feedback, timeout=60).ok
    before = eventually(lambda: learned(cluster), "the feedback is in force")
    connection.stop_all()

    outlives = {
        ("config_map", f"clipper-models-at-{NAME}"),
        ("persistent_volume_claim", f"data-redis-at-{NAME}-0"),
    }
    eventually(
        lambda: left(kubernetes_api, namespace) == outlives, "only what outlives a stop is left"
    )

    cluster = opened(kubernetes_api, place)
    cluster.connection.start_clipper()
    assert cluster.predict("app", input=[3.0, 4.0])["output"] == 7.0
    assert cluster.connection.get_num_replicas("m", 1) == 2
    assert cluster.connection.get_linked_models("app") == ["m"]
    assert learned(cluster) == before
    cluster.connection.stop_all(graceful=False)

    cluster.manager.delete_state()
    eventually(lambda: left(kubernetes_api, namespace) == set(), "nothing at all is left")


def learned(cluster: KubernetesCluster) -> Any:
    """Return what the policy learned; nothing before all feedback is in it."""
    summary = cluster.connection.get_policy("app")["summary"]
    return summary if summary["labelled"] == LABELLED else None
