"""`clipper --mode kubernetes doctor` explains real troubles, all in one namespace."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from clipper.cli.app import app
from clipper.managers.base import ClusterOptions
from clipper.managers.stock_images import FRONTEND_IMAGE, stock_image
from tests.e2e.clusters import eventually
from tests.e2e.kubernetes_clusters import MODEL_RESOURCES, kubernetes_cluster, kubernetes_manager
from tests.kubernetes_api import KubernetesApi
from tests.stock import StockImages

pytestmark = pytest.mark.kubernetes_slow

CLUSTER, WITHOUT_VOLUME = "troubled", "unstored"
ABSENT_CLASS = "clipper-test-no-such-class"
HUGE = {"requests": {"cpu": "1000", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}

Find = Callable[..., dict[str, str]]


def doctor(*options: str) -> list[dict[str, Any]]:
    """Return the findings."""
    given = ["--mode", "kubernetes", "-o", "json", "doctor", "--internal-ip", *options]
    result = CliRunner().invoke(app, given)
    assert result.exit_code in (0, 1), result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def problem(found: list[dict[str, Any]], *words: str) -> dict[str, Any] | None:
    """Return the first problem that all these words are told of."""
    fitting = [one for one in found if not one["ok"] and all(w in one["detail"] for w in words)]
    return fitting[0] if fitting else None


@pytest.fixture(scope="module")
def namespace(kubernetes_api: KubernetesApi, stock_images: StockImages) -> Iterator[str]:
    """One with a cluster whose models have troubles of all kinds."""
    api = kubernetes_api
    with (
        api.namespace() as name,
        kubernetes_cluster(
            api, stock_images, namespace=name, name=CLUSTER, prometheus_image=None,
            model_resources=MODEL_RESOURCES,
        ),
    ):  # fmt: skip
        small = kubernetes_manager(api, name, CLUSTER)
        small.deploy_model("absent", "1", "doubles", "registry.invalid/no-such-image:1")
        small.deploy_model("dying", "1", "doubles", stock_image(FRONTEND_IMAGE))
        huge = kubernetes_manager(api, name, CLUSTER, model_resources=HUGE)
        huge.deploy_model("huge", "1", "doubles", stock_image("noop-container"))
        yield name


@pytest.fixture(scope="module")
def find(kubernetes_api: KubernetesApi, namespace: str) -> Find:
    """Ask the doctor of a cluster until it tells of something."""

    def search(cluster: str, *words: str) -> dict[str, Any]:
        place = ("-n", namespace, "--kubeconfig", str(kubernetes_api.kubeconfig), "-c", cluster)
        found: dict[str, Any] = eventually(
            lambda: problem(doctor(*place), *words), f"told of {words}", pause_s=1.0
        )
        return found

    return search


def test_an_image_that_cannot_be_pulled(find: Find) -> None:
    found = find(CLUSTER, "model:absent:1", "registry.invalid/no-such-image:1")
    assert found["check"] == "images"
    assert "registry.invalid" in found["next_step"]


def test_a_pod_that_fits_on_no_node(find: Find) -> None:
    found = find(CLUSTER, "model:huge:1", "nsufficient cpu")
    assert "it asks for 1k of cpu" in found["detail"]
    assert "Add nodes" in found["next_step"]


def test_a_container_that_dies(find: Find) -> None:
    found = find(CLUSTER, "model:dying:1", "keeps dying", "exited with status 0")
    assert "query-frontend-worker" in found["detail"]  # the end of what it printed
    assert "clipper logs dying:1" in found["next_step"]


def test_the_cluster_itself_is_found_well(kubernetes_api: KubernetesApi, namespace: str) -> None:
    found = doctor(
        "-n", namespace, "-c", CLUSTER, "--kubeconfig", str(kubernetes_api.kubeconfig)
    )  # fmt: skip
    well = {one["check"] for one in found if one["ok"]}
    assert {"Kubernetes", "namespace", "rights", "nodes", "version", "frontends"} <= well
    told = " ".join(one["detail"] + one["next_step"] for one in found)
    assert "supervisor" not in told
    assert "engine" not in told


def test_a_namespace_that_does_not_exist(kubernetes_api: KubernetesApi, namespace: str) -> None:
    kubeconfig = str(kubernetes_api.kubeconfig)
    found = problem(doctor("-n", f"{namespace}-no", "--kubeconfig", kubeconfig), "does not exist")
    assert found is not None
    assert "--create-namespace" in found["next_step"]


def test_a_volume_that_no_class_makes(
    kubernetes_api: KubernetesApi, namespace: str, find: Find
) -> None:
    manager = kubernetes_manager(
        kubernetes_api, namespace, WITHOUT_VOLUME,
        redis_storage="1Gi", redis_storage_class=ABSENT_CLASS,
    )  # fmt: skip
    image = stock_image(FRONTEND_IMAGE)
    text = manager.manifests(ClusterOptions(image, image, image), secrets=True)
    for wanted in yaml.safe_load_all(text):
        if wanted["kind"] in ("ConfigMap", "Secret", "ServiceAccount") or _is_store(wanted):
            _create(kubernetes_api, wanted)
    claim = find(WITHOUT_VOLUME, "volume claim", ABSENT_CLASS)
    assert "is pending" in claim["detail"]
    assert "not found" in claim["detail"]
    assert "--storage-class" in claim["next_step"]
    assert "Its volume comes first" in find(WITHOUT_VOLUME, "store: pod", "waits")["next_step"]


def _is_store(wanted: dict[str, Any]) -> bool:
    return bool(wanted["kind"] == "StatefulSet" and wanted["metadata"]["name"].startswith("redis"))


def _create(api: KubernetesApi, wanted: dict[str, Any]) -> None:
    from kubernetes import utils

    utils.create_from_dict(api.client, wanted, namespace=wanted["metadata"]["namespace"])


def test_a_user_without_rights(
    kubernetes_api: KubernetesApi, namespace: str, tmp_path: Path
) -> None:
    with limited_user(kubernetes_api, namespace, tmp_path) as kubeconfig:
        found = doctor("-n", namespace, "-c", CLUSTER, "--kubeconfig", str(kubeconfig))
    rights = problem(found, "this user may not, in namespace")
    assert rights is not None
    assert "statefulsets.apps" in rights["detail"]
    assert "pods/log" in rights["detail"]
    assert "create, patch, delete configmaps" in rights["detail"]
    assert "RoleBinding" in rights["next_step"]


@contextlib.contextmanager
def limited_user(api: KubernetesApi, namespace: str, directory: Path) -> Iterator[Path]:
    """Make an account that may read ConfigMaps and pods; yield its kubeconfig."""
    from kubernetes.client import RbacAuthorizationV1Api

    name, group = "limited", "rbac.authorization.k8s.io"
    rights = RbacAuthorizationV1Api(api.client)
    reading = {"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["get", "list"]}
    api.core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
    rights.create_namespaced_role(namespace, {"metadata": {"name": name}, "rules": [reading]})
    rights.create_namespaced_role_binding(
        namespace,
        {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
    )
    token = api.core.create_namespaced_service_account_token(name, namespace, {"spec": {}})
    config = yaml.safe_load(api.kubeconfig.read_text())
    config["users"] = [{"name": name, "user": {"token": token.status.token}}]
    for context in config["contexts"]:
        context["context"]["user"] = name
    path = directory / "limited.conf"
    path.write_text(yaml.safe_dump(config))
    yield path
