"""Clusters against an API server in memory, as tests of the manager start them."""

from __future__ import annotations

from typing import Any

from clipper.managers.base import ClusterOptions
from clipper.managers.kubernetes import KubernetesContainerManager
from clipper.managers.labels import CLUSTER_LABEL
from tests.fakes.fake_kubernetes import FakeKubernetes

from .examples import OPTIONS

UNPULLABLE = {
    "containerStatuses": [
        {
            "name": "x",
            "image": "absent:1",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}},
        }
    ]
}


def manager(api: FakeKubernetes, name: str = "c", **options: Any) -> KubernetesContainerManager:
    return KubernetesContainerManager(name, api=api, **({"prometheus_image": None} | options))


def options(frontends: int = 1, image: str = OPTIONS.query_frontend_image) -> ClusterOptions:
    return ClusterOptions(image, "clipper/mgmt:1", "x:1", num_frontend_replicas=frontends)


def started(api: FakeKubernetes, name: str = "c", **given: Any) -> KubernetesContainerManager:
    one = manager(api, name, **given)
    assert one.start_clipper(options())
    return one


def of_cluster(api: FakeKubernetes, name: str = "c") -> set[tuple[str, str]]:
    """Return kind and name of all that has the cluster's label."""
    return {
        (kind, object_name)
        for (kind, _, object_name), one in api.objects.items()
        if (one["metadata"].get("labels") or {}).get(CLUSTER_LABEL) == name
    }
