"""Pods that are deleted, crash, freeze or are replaced, under open-loop load through the Service.

"No query lost" as design 21 has it: what is deleted, scaled or replaced loses none; a process that
is killed breaks its own connections at most, visibly, and who sends again is answered.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from clipper.deployers import python as python_deployer
from tests.e2e import models
from tests.e2e.clusters import eventually
from tests.e2e.kubernetes_clusters import KubernetesCluster, kubernetes_cluster
from tests.e2e.open_loop import OpenLoop
from tests.e2e.traffic import answered_since, broken, check_answers, defaults, load, told
from tests.kubernetes_api import KubernetesApi
from tests.stock import StockImages

from . import disturbances

RATE_PER_S = 50.0
SLO_MICROS = 1_500_000
"""Longer than the machine stops for other reasons."""

BATCH = 16
"""No batch is larger at this load."""

MODEL, FRONTEND = "model:app:1", "query-frontend"


@pytest.fixture(scope="module")
def running(
    kubernetes_api: KubernetesApi, stock_images: StockImages
) -> Iterator[KubernetesCluster]:
    """A cluster with a volume, two frontends and a model of two replicas."""
    with (
        kubernetes_api.persistent_volume() as storage_class,
        kubernetes_api.namespace() as namespace,
        kubernetes_cluster(
            kubernetes_api,
            stock_images,
            "python-closure",
            namespace=namespace,
            start={"num_frontend_replicas": 2},
            redis_storage="1Gi",
            redis_storage_class=storage_class,
        ) as cluster,
    ):
        serve(cluster, replicas=2)
        yield cluster


@pytest.fixture
def cluster(running: KubernetesCluster) -> KubernetesCluster:
    settled(running)
    return running


def settled(cluster: KubernetesCluster, replicas: int = 2) -> None:
    """Wait until the cluster is as it was before anything happened to it."""

    def is_settled() -> bool:
        try:
            serving = cluster.ready_replicas("app", "1")
        except requests.ConnectionError:  # without its store, management is not ready
            return False
        return serving == replicas and cluster.ready(FRONTEND) == 2

    eventually(is_settled, "two frontends and all replicas serve", timeout_s=90, pause_s=0.2)


def scaled(cluster: KubernetesCluster, number: int) -> bool:
    """Scale the model, unless the management frontend cannot be reached at this moment."""
    try:
        cluster.connection.set_num_replicas("app", number)
    except requests.ConnectionError:
        return False
    return True


def serve(cluster: KubernetesCluster, replicas: int) -> None:
    python_deployer.create_endpoint(
        cluster.connection, "app", "doubles", models.doubler(), "DEFAULT",
        slo_micros=SLO_MICROS, num_replicas=replicas,
    )  # fmt: skip


def check(traffic: OpenLoop, *, most_defaults: int = 0, most_broken: int = 0) -> None:
    samples = traffic.samples
    print(told(samples))
    check_answers(samples)
    assert len(defaults(samples)) <= most_defaults
    assert {sample.reason for sample in defaults(samples)} <= {"slo", "no-replica"}
    assert len(broken(samples)) <= most_broken, [s.faults for s in broken(samples)]


def test_a_models_pod_is_deleted(cluster: KubernetesCluster) -> None:
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        disturbances.delete(cluster, cluster.pods(MODEL)[0])
        settled(cluster)
        answered_since(traffic, 30)
    check(traffic)


@pytest.mark.kubernetes_slow
def test_a_frontends_pod_is_deleted(cluster: KubernetesCluster) -> None:
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        disturbances.delete(cluster, cluster.pods(FRONTEND)[0])
        settled(cluster)
        answered_since(traffic, 30)
    check(traffic)


@pytest.mark.kubernetes_slow
def test_a_models_container_is_killed(cluster: KubernetesCluster) -> None:
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        disturbances.crash(cluster, cluster.pods(MODEL)[0])
        settled(cluster)
        answered_since(traffic, 30)
    check(traffic, most_defaults=BATCH)


@pytest.mark.kubernetes_slow
def test_a_frontends_container_is_killed(cluster: KubernetesCluster) -> None:
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        disturbances.crash(cluster, cluster.pods(FRONTEND)[0])
        settled(cluster)
        answered_since(traffic, 30)
    # Until the Service drops it, connections to it are refused, and tried again.
    check(traffic, most_defaults=BATCH, most_broken=len(traffic.samples))


@pytest.mark.kubernetes_slow
def test_a_models_container_freezes(cluster: KubernetesCluster) -> None:
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        with disturbances.frozen(cluster.pods(MODEL)[0]):
            answered_since(traffic, 200)
        settled(cluster)
        answered_since(traffic, 30)
    check(traffic, most_defaults=2 * BATCH)


@pytest.mark.kubernetes_slow
def test_the_stores_pod_is_deleted(cluster: KubernetesCluster) -> None:
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        disturbances.delete(cluster, cluster.pods("store")[0])
        eventually(lambda: cluster.ready("store") == 1, "the store is back", timeout_s=60)
        settled(cluster)
        answered_since(traffic, 30)
    check(traffic)
    assert cluster.connection.get_linked_models("app") == ["app"], "its volume came back with it"


@pytest.mark.kubernetes_slow
def test_the_frontends_are_upgraded(cluster: KubernetesCluster) -> None:
    before = {pod.metadata.uid for pod in cluster.pods(FRONTEND)}
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        cluster.connection.start_clipper(num_frontend_replicas=2, cache_size=16 << 20)
        settled(cluster)
        answered_since(traffic, 30)
    assert before.isdisjoint({pod.metadata.uid for pod in cluster.pods(FRONTEND)})
    check(traffic)


@pytest.mark.kubernetes_slow
def test_scaling_to_four_and_to_one(cluster: KubernetesCluster) -> None:
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        for number in (4, 1, 2):
            cluster.connection.set_num_replicas("app", number)
            answered_since(traffic, 50)
    check(traffic)


def test_a_version_is_switched_and_rolled_back(cluster: KubernetesCluster) -> None:
    connection = cluster.connection
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        python_deployer.deploy_python_closure(
            connection, "app", "2", "doubles", models.doubler(), num_replicas=2
        )
        answered_since(traffic, 50)
        connection.set_model_version("app", "1")
        answered_since(traffic, 50)
        connection.stop_versioned_models({"app": ["2"]})
        answered_since(traffic, 50)
    check(traffic)


@pytest.mark.kubernetes_slow
def test_evicting_one_pod_after_another(cluster: KubernetesCluster) -> None:
    """What `kubectl drain` does; budgets let one of a kind go at a time."""
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        for role in (MODEL, FRONTEND):
            first, second = cluster.pods(role)
            assert disturbances.evict(cluster, first)
            assert not disturbances.evict(cluster, second), "both at once would be an outage"
            settled(cluster)
        answered_since(traffic, 30)
    check(traffic)


@pytest.mark.kubernetes_slow
def test_a_lone_frontend_is_upgraded(
    kubernetes_api: KubernetesApi, stock_images: StockImages, kubernetes_namespace: str
) -> None:
    with kubernetes_cluster(
        kubernetes_api, stock_images, "python-closure", namespace=kubernetes_namespace
    ) as cluster:
        serve(cluster, replicas=1)
        [before] = cluster.pods(FRONTEND)
        with load(cluster, RATE_PER_S) as traffic:
            answered_since(traffic, 30)
            cluster.connection.start_clipper(cache_size=16 << 20)
            answered_since(traffic, 30)
        [after] = cluster.pods(FRONTEND)
        assert after.metadata.uid != before.metadata.uid
        check(traffic)


@pytest.mark.kubernetes_slow
def test_to_no_replica_and_back(cluster: KubernetesCluster) -> None:
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        cluster.connection.set_num_replicas("app", 0)
        emptied = len(traffic.samples)
        eventually(lambda: len(traffic.samples) > emptied + 30, "queries meet no replica")
        cluster.connection.set_num_replicas("app", 2)
        back = len(traffic.samples)
        answered_since(traffic, 50)
    print(told(traffic.samples))
    check_answers(traffic.samples)
    assert broken(traffic.samples) == []
    assert "no-replica" in {sample.reason for sample in defaults(traffic.samples)}
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"slo", "no-replica"}
    assert defaults(traffic.samples[back + 5 :]) == []


@pytest.mark.kubernetes_slow
def test_a_frontends_container_freezes(cluster: KubernetesCluster) -> None:
    """Who was sent to it waits, gives up and tries again, until the Service drops it."""
    with load(cluster, RATE_PER_S, timeout_s=2.0) as traffic:
        answered_since(traffic, 30)
        with disturbances.frozen(cluster.pods(FRONTEND)[0]):
            eventually(lambda: cluster.ready(FRONTEND) == 1, "it is unready", timeout_s=60)
            without = len(traffic.samples)
            answered_since(traffic, 100)
            settled_at = len(traffic.samples)
        settled(cluster)
        answered_since(traffic, 30)
    print(told(traffic.samples))
    check_answers(traffic.samples)
    assert {sample.reason for sample in defaults(traffic.samples)} <= {"slo", "no-replica"}
    # Connections that were open before lead to the frozen one until their clients give them up.
    assert len(broken(traffic.samples[without + 50 : settled_at])) <= 5


@pytest.mark.kubernetes_slow
def test_the_api_server_is_away_for_a_minute(cluster: KubernetesCluster) -> None:
    with load(cluster, RATE_PER_S) as traffic:
        answered_since(traffic, 30)
        with disturbances.silent_api_server(cluster.api.kubeconfig):
            sent = len(traffic.samples)
            eventually(
                lambda: len(traffic.samples) >= sent + 60 * RATE_PER_S, "a minute", timeout_s=90
            )
            back = len(traffic.samples)
        settled(cluster)
        answered_since(traffic, 30)
    print(told(traffic.samples))
    check_answers(traffic.samples)
    assert broken(traffic.samples[:back]) == []
    assert defaults(traffic.samples[:back]) == []
    # The node's own signs of life were not heard either: Kubernetes may take it for lost, and drop
    # its pods from the Services, until it is heard again.
    for number in (3, 2):
        eventually(lambda n=number: scaled(cluster, n), "it can be scaled again", timeout_s=120)
