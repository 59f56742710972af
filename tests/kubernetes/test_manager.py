"""One cluster through its life: many models, a proxy, other clients, failures, further starts."""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from clipper.admin.connection import ClipperConnection
from clipper.errors import ClipperException
from clipper.managers.labels import MODEL_LABEL
from clipper.managers.stock_images import stock_image
from tests.e2e.clusters import Cluster, eventually
from tests.e2e.kubernetes_clusters import KubernetesCluster, kubernetes_manager
from tests.e2e.many_apps import copied_logs, serve_many_apps
from tests.kubernetes.proxies import kubectl_proxy

APPS, VERSIONS = 2, 2
SUM = stock_image("sum-container")
CLOSURE = stock_image("python311-closure-container")
TOO_SMALL = {"requests": {"cpu": "10m", "memory": "24Mi"}, "limits": {"memory": "24Mi"}}


def serve_sums(cluster: Cluster, num_replicas: int = 1) -> None:
    connection = cluster.connection
    connection.register_application("app", "doubles", "DEFAULT", 5_000_000)
    connection.deploy_model("m", 1, "doubles", SUM, num_replicas=num_replicas)
    connection.link_model_to_app("app", "m")


def uids(cluster: KubernetesCluster) -> set[str]:
    """Return which pods run, but for those that are ending."""
    pods = cluster.core.list_namespaced_pod(cluster.namespace).items
    return {pod.metadata.uid for pod in pods if pod.metadata.deletion_timestamp is None}


@pytest.mark.kubernetes_slow
def test_i3_many_apps_many_models(cluster: KubernetesCluster, tmp_path: Path) -> None:
    serve_many_apps(cluster, APPS, VERSIONS)

    for number in range(APPS):
        for version in range(VERSIONS):
            role = f"model:testapp{number}-model:{version}"
            assert len(cluster.pods(role)) == 1
            # A model serves before its kubelet has told so; until then nobody can read its log.
            eventually(lambda role=role: cluster.ready(role) == 1, f"the pod of {role} is ready")
    logs = copied_logs(cluster, tmp_path, least=APPS * VERSIONS + 3)
    pods = cluster.core.list_namespaced_pod(cluster.namespace).items
    running = {f"{pod.metadata.name}_0.log" for pod in pods if not pod.metadata.deletion_timestamp}
    assert running <= {path.name for path in logs}


def test_i3_through_kubectl_proxy(cluster: KubernetesCluster, tmp_path: Path) -> None:
    with kubectl_proxy(cluster.api.kubeconfig, tmp_path / "proxy.log") as proxy:
        manager = kubernetes_manager(
            cluster.api, cluster.namespace, cluster.manager.cluster_name,
            kubernetes_proxy_addr=proxy, useInternalIP=False,
        )  # fmt: skip
        connection = ClipperConnection(manager)
        connection.connect()
        name = cluster.manager.cluster_name
        services = f"{proxy}/api/v1/namespaces/{cluster.namespace}/services"
        assert connection.get_query_addr() == f"{services}/query-frontend-at-{name}:1337/proxy"
        assert manager.get_admin_addr() == f"{services}/mgmt-frontend-at-{name}:1338/proxy"

        serve_many_apps(Cluster(connection, manager), apps=1, versions=1)


_ANOTHER_PROCESS = """
import sys
import requests
from clipper.admin.connection import ClipperConnection
from clipper.managers.kubernetes import KubernetesContainerManager
kubeconfig, namespace, name = sys.argv[1:]
connection = ClipperConnection(
    KubernetesContainerManager(
        name, namespace=namespace, kubeconfig=kubeconfig, useInternalIP=True
    )
)
connection.connect()
url = f"http://{connection.get_query_addr()}/app/predict"
answer = requests.post(url, json={"input": [1.0, 2.0]}, timeout=60).json()
print(connection.get_all_apps(), connection.get_num_replicas("m", 1), answer["output"])
"""


def test_another_process_connects(cluster: KubernetesCluster) -> None:
    serve_sums(cluster)
    known = [str(cluster.api.kubeconfig), cluster.namespace, cluster.manager.cluster_name]
    said = subprocess.run(
        [sys.executable, "-c", _ANOTHER_PROCESS, *known],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip

    assert said.split("\n")[-2] == "['app'] 1 3.0"


def test_i4_a_further_start_restarts_nothing_and_adds_frontends(
    cluster: KubernetesCluster,
) -> None:
    cluster.connection.start_clipper()  # with one frontend, whatever other tests left
    serve_sums(cluster, num_replicas=2)
    before = uids(cluster)

    cluster.connection.start_clipper()
    assert uids(cluster) == before

    cluster.connection.start_clipper(num_frontend_replicas=2)
    assert before < uids(cluster)
    _each_frontend_has_its_service(cluster)
    assert cluster.ready("query-frontend") == 2
    assert len(workers_that_answer(cluster)) == 2
    eventually(lambda: connected(cluster) == [2, 2], "both replicas serve both frontends")


def _each_frontend_has_its_service(cluster: KubernetesCluster) -> None:
    name = cluster.manager.cluster_name
    first, second = cluster.pods("query-frontend")
    for index, pod in enumerate((first, second)):
        service = f"query-frontend-{index}-at-{name}"
        assert pod.metadata.name == f"query-frontend-at-{name}-{index}"
        eventually(
            lambda service=service, pod=pod: endpoints(cluster, service) == [pod.metadata.name],
            f"{service} leads to {pod.metadata.name} alone",
        )
    both = [first.metadata.name, second.metadata.name]
    assert sorted(endpoints(cluster, f"query-frontend-at-{name}")) == both


def endpoints(cluster: KubernetesCluster, service: str) -> list[str]:
    """Return the pods that a Service leads to."""
    found = cluster.core.read_namespaced_endpoints(service, cluster.namespace)
    return [
        address.target_ref.name
        for subset in found.subsets or ()
        for address in subset.addresses or ()
    ]


def workers_that_answer(cluster: KubernetesCluster) -> set[int]:
    """Return the epochs of the answers to queries over new connections."""
    epochs: set[int] = set()

    def all_seen() -> bool:
        answer = requests.post(cluster.url("app"), json={"input": [1.0, 2.0]}, timeout=60).json()
        assert answer["output"] == 3.0, answer
        epochs.add(answer["query_id"] >> 32)
        return len(epochs) == 2

    eventually(all_seen, "both frontends answer")
    return epochs


def connected(cluster: KubernetesCluster) -> list[int]:
    """Return of each replica how many frontends it serves."""
    replicas = cluster.connection.get_all_model_replicas(verbose=True)
    return [list(one["worker_states"].values()).count("ready") for one in replicas]


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


def all_end(cluster: KubernetesCluster) -> bool:
    """Return whether every pod of a model is on its way out."""
    pods = cluster.core.list_namespaced_pod(cluster.namespace).items
    models = [pod for pod in pods if MODEL_LABEL in pod.metadata.labels]
    return all(pod.metadata.deletion_timestamp for pod in models)


@pytest.mark.kubernetes_slow
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
    eventually(lambda: all_end(cluster), "no pod stays")


@pytest.mark.kubernetes_slow
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
