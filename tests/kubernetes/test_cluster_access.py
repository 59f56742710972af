"""What tests on Kubernetes stand on: namespaces and volumes that come, and leave nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.clusters import eventually
from tests.kubernetes_api import KubernetesApi

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api


def test_a_namespace_is_gone_with_all_that_was_in_it(kubernetes_api: KubernetesApi) -> None:
    from kubernetes.client import ApiException

    core = kubernetes_api.core
    with kubernetes_api.namespace() as name:
        core.create_namespaced_config_map(name, {"metadata": {"name": "one"}, "data": {"a": "b"}})
        assert name in {one.metadata.name for one in core.list_namespace().items}

    with pytest.raises(ApiException, match="404"):
        core.read_namespace(name)
    with pytest.raises(ApiException, match="404"):
        core.read_namespaced_config_map("one", name)


@pytest.mark.kubernetes_slow
def test_claims_are_bound_and_their_volumes_go(kubernetes_api: KubernetesApi) -> None:
    core = kubernetes_api.core
    with kubernetes_api.persistent_volume(count=2) as storage_class:
        if storage_class is None:
            pytest.skip("the cluster makes volumes itself, some only when a pod wants them")
        with kubernetes_api.namespace() as name:
            for claim in ("one", "two"):
                core.create_namespaced_persistent_volume_claim(name, claiming(claim, storage_class))
            eventually(lambda: phases(core, name) == {"Bound"}, "both claims are bound")

    left = {one.spec.storage_class_name for one in core.list_persistent_volume().items}
    assert storage_class not in left


def claiming(name: str, storage_class: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": storage_class,
        },
    }


def phases(core: CoreV1Api, namespace: str) -> set[str]:
    claims = core.list_namespaced_persistent_volume_claim(namespace).items
    return {claim.status.phase for claim in claims}


def test_the_kubeconfig_is_enough_for_another_process(
    kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    script = (
        "import sys\n"
        "from kubernetes import client, config\n"
        "config.load_kube_config(config_file=sys.argv[1])\n"
        "print(client.CoreV1Api().read_namespace(sys.argv[2]).metadata.name)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, str(kubernetes_api.kubeconfig), kubernetes_namespace],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip

    assert said.strip() == kubernetes_namespace
