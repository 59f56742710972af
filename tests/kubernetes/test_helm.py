"""The Helm chart on a real Kubernetes: installed, tested, used, upgraded, gone."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest
import requests

from clipper.admin.connection import ClipperConnection
from clipper.deployers.python import deploy_python_closure
from clipper.errors import ClipperException
from clipper.managers.kubernetes import KubernetesContainerManager, cluster, names
from clipper.managers.kubernetes.api import KubernetesApi as ManagersApi
from clipper.managers.kubernetes.applying import offers
from clipper.managers.kubernetes.inventory import Inventory
from tests import manifests
from tests.e2e.clusters import eventually
from tests.e2e.kubernetes_clusters import FRONTEND_RESOURCES, MODEL_RESOURCES
from tests.kubernetes_api import KubernetesApi
from tests.stock import StockImages

_RELEASE = "tried"
_LIMIT_S = 120
_CLUSTER = "default-cluster"


@pytest.fixture
def storage_class(kubernetes_api: KubernetesApi) -> Iterator[str | None]:
    with kubernetes_api.persistent_volume() as name:
        yield name


@pytest.fixture
def namespace(kubernetes_api: KubernetesApi, storage_class: str | None) -> Iterator[str]:
    """A namespace that ends before the volume that its claim uses."""
    with kubernetes_api.namespace() as name:
        yield name


@pytest.fixture
def helm(kubernetes_api: KubernetesApi, namespace: str) -> Iterator[helm_python.Config]:
    with helm_python.Config(
        kubeconfig_path=kubernetes_api.kubeconfig, namespace=namespace
    ) as config:
        yield config


def connect(api: KubernetesApi, namespace: str) -> ClipperConnection:
    """Connect as another process would, which knows the namespace and nothing else."""
    connection = ClipperConnection(
        KubernetesContainerManager(
            kubeconfig=str(api.kubeconfig), namespace=namespace, useInternalIP=True
        )
    )
    connection.connect()
    return connection


def inventory(api: KubernetesApi, namespace: str) -> Inventory:
    settings = manifests.default_settings(namespace=namespace)
    return Inventory(ManagersApi(str(api.kubeconfig)), settings)


def ask(connection: ClipperConnection) -> Any:
    reply = requests.post(
        f"http://{connection.get_query_addr()}/hello-world/predict",
        json={"input": [1.5, 2.0, 3.0]},
        timeout=10,
    )
    return reply.json()


def feature_sum(inputs: Any) -> list[str]:
    return [str(sum(one)) for one in inputs]


def deploy_the_quick_start(connection: ClipperConnection) -> None:
    connection.register_application(
        name="hello-world", input_type="doubles", default_output="-1.0", slo_micros=1_000_000
    )
    deploy_python_closure(
        connection, name="sum-model", version=1, input_type="doubles", func=feature_sum
    )
    connection.link_model_to_app(app_name="hello-world", model_name="sum-model")


def password(api: KubernetesApi, namespace: str) -> str:
    secret: Any = api.core.read_namespaced_secret(f"clipper-secrets-at-{_CLUSTER}", namespace)
    return base64.b64decode(secret.data["redis-password"]).decode()


def pod_ids(api: KubernetesApi, namespace: str, role: str) -> set[str]:
    selector = names.selector_text(names.selector(_CLUSTER, role))
    found: list[Any] = api.core.list_namespaced_pod(namespace, label_selector=selector).items
    return {pod.metadata.uid for pod in found}


def remains(api: KubernetesApi, namespace: str) -> set[str]:
    """Return kind and name of everything in the namespace with the cluster's label."""
    kinds = [
        *(("apps/v1", kind) for kind in ("Deployment", "StatefulSet", "ReplicaSet")),
        *(("v1", kind) for kind in ("Pod", "Service", "Secret", "ConfigMap", "ServiceAccount")),
        ("v1", "PersistentVolumeClaim"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ]
    found = inventory(api, namespace)
    return {
        f"{kind}/{one['metadata']['name']}"
        for version, kind in kinds
        for one in found.of_kind(version, kind)
    }


@pytest.mark.kubernetes_slow
def test_the_quick_start_on_an_installed_chart(
    kubernetes_api: KubernetesApi,
    stock_images: StockImages,
    storage_class: str | None,
    namespace: str,
    helm: helm_python.Config,
) -> None:
    stock_images.need("frontend", "python-closure")
    api = kubernetes_api
    values: dict[str, Any] = {
        "queryFrontend": {"resources": FRONTEND_RESOURCES},
        "models": {"resources": MODEL_RESOURCES},
        "store": {"persistence": {"storageClass": storage_class or ""}},
        "prometheus": {"enabled": False},  # tests of the manager start the same one
    }

    helm.install(manifests.CHART, _RELEASE, values, wait="watcher", timeout=_LIMIT_S)
    told = helm.test(_RELEASE, timeout=_LIMIT_S, logs=True)["logs"]
    assert f"query-frontend-at-{_CLUSTER}:1337 200" in told
    assert f"mgmt-frontend-at-{_CLUSTER}:1338 200" in told

    connection = connect(api, namespace)
    deploy_the_quick_start(connection)
    assert ask(connection) | {"query_id": 0} == {"query_id": 0, "output": 6.5, "default": False}

    # What Helm manages is left to Helm.
    with pytest.raises(ClipperException, match="helm upgrade"):
        ClipperConnection(connection.cm).start_clipper()
    with pytest.raises(ClipperException, match="helm uninstall"):
        connection.stop_all()
    assert ask(connection)["output"] == 6.5

    before = password(api, namespace), pod_ids(api, namespace, names.MODEL)
    values["queryFrontend"]["replicas"] = 2
    helm.upgrade(manifests.CHART, _RELEASE, values, wait="watcher", timeout=_LIMIT_S)
    assert len(pod_ids(api, namespace, names.QUERY)) == 2
    assert (password(api, namespace), pod_ids(api, namespace, names.MODEL)) == before
    answers = [ask(connection) for _ in range(20)]
    assert {(one["output"], one["default"]) for one in answers} == {(6.5, False)}

    helm.uninstall(_RELEASE, wait="watcher", timeout=_LIMIT_S)
    claim = {f"PersistentVolumeClaim/data-redis-at-{_CLUSTER}-0"}
    eventually(
        lambda: remains(api, namespace) == claim,
        "everything but the volume's claim is gone",
        timeout_s=_LIMIT_S,
        pause_s=0.5,
    )
    connection.cm.delete_state()
    assert remains(api, namespace) == set()


def test_a_chart_fits_the_api_versions_of_its_cluster(
    kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    """What an installation would make here is what the manager would make here."""
    values = {"queryFrontend": {"autoscaling": {"enabled": True}}}
    with helm_python.Config(
        kubeconfig_path=kubernetes_api.kubeconfig, namespace=kubernetes_namespace
    ) as config:
        rendered = config.install(manifests.CHART, _RELEASE, values, dry_run="server")
    found = manifests.objects(rendered["manifest"])
    manager = KubernetesContainerManager(
        kubeconfig=str(kubernetes_api.kubeconfig),
        namespace=kubernetes_namespace,
        max_frontend_replicas=4,
    )
    wanted = cluster.cluster_objects(
        manager._settings, manifests.default_options(), offers(manager._inventory), "password"
    )
    wanted.append(cluster.anchor_object(manager._settings, manifests.default_options()))

    assert manifests.comparable(found) == manifests.comparable(wanted)
