"""Manifests of every kind of cluster, asked of the API server itself: nothing is made."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.kubernetes.proxies import kubectl
from tests.kubernetes_api import KubernetesApi
from tests.unit.managers.kubernetes import examples

if TYPE_CHECKING:
    from clipper.managers.kubernetes.cluster import Offers


def offers(api: KubernetesApi) -> Offers:
    from clipper.managers.kubernetes import api as product
    from clipper.managers.kubernetes import policies
    from clipper.managers.kubernetes.cluster import Offers

    asked = product.KubernetesApi(str(api.kubeconfig))
    try:
        budget, scaler = (
            next((one for one in versions if asked.offers(one, kind)), None)
            for kind, versions in (
                ("PodDisruptionBudget", policies.BUDGET_VERSIONS),
                ("HorizontalPodAutoscaler", policies.AUTOSCALER_VERSIONS),
            )
        )
    finally:
        asked.close()
    return Offers(budget, scaler)


def test_the_server_takes_every_object(
    kubernetes_api: KubernetesApi, kubernetes_namespace: str
) -> None:
    from clipper.managers.kubernetes.cluster import Offers

    newest = offers(kubernetes_api)
    plainest = Offers(newest.budget, "autoscaling/v1")
    found = {
        json.dumps(one, sort_keys=True)
        for case in examples.CASES
        for offered in (newest, plainest)
        for one in examples.objects(case, offers=offered, namespace=kubernetes_namespace)
    }
    listed = {"apiVersion": "v1", "kind": "List", "items": [json.loads(one) for one in found]}
    config = str(kubernetes_api.kubeconfig)
    command = [kubectl(kubernetes_api.kubeconfig), "--kubeconfig", config, "apply", "-f", "-"]
    asked = subprocess.run(
        [*command, "--server-side", "--dry-run=server"],
        input=json.dumps(listed), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.count("serverside-applied (server dry run)") == len(found)
