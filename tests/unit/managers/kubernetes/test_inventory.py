"""What of a cluster is there, and when it is gone."""

from __future__ import annotations

from typing import Any

import pytest

from clipper.managers.kubernetes import names
from clipper.managers.kubernetes.inventory import Inventory, has_ended
from clipper.managers.kubernetes.settings import KubernetesSettings
from tests.fakes.fake_kubernetes import FakeKubernetes

RUNNING: dict[str, Any] = {"running": {"startedAt": "2024-05-01T10:00:00Z"}}
TERMINATED: dict[str, Any] = {"terminated": {"exitCode": 0}}
REMOVED: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
"""How an old kubelet tells of a container that has ended and is removed."""


def pod(*states: dict[str, Any], ending: bool = True) -> dict[str, Any]:
    metadata = {"name": "m-0"} | ({"deletionTimestamp": "2024-05-01T10:00:00Z"} if ending else {})
    statuses = [{"name": str(index), "state": state} for index, state in enumerate(states)]
    return {"metadata": metadata, "status": {"containerStatuses": statuses} if states else {}}


@pytest.mark.parametrize(
    ("one", "ended"),
    [
        (pod(RUNNING), False),
        (pod(TERMINATED), True),
        (pod(REMOVED), True),
        (pod(TERMINATED, RUNNING), False),
        (pod(TERMINATED, REMOVED), True),
        (pod(), False),
        (pod(TERMINATED, ending=False), False),
        (pod(REMOVED, ending=False), False),
    ],
)
def test_a_pod_has_ended_when_nothing_runs_in_it_any_more(one: dict[str, Any], ended: bool) -> None:
    assert has_ended(one) is ended


def test_only_pods_that_have_ended_are_cleared_away() -> None:
    api = FakeKubernetes()
    inventory = Inventory(api, KubernetesSettings(cluster_name="c"))
    labels = names.selector("c", names.QUERY)
    for name, one in (("running", pod(RUNNING)), ("ended", pod(TERMINATED))):
        metadata = one["metadata"] | {"name": name, "namespace": "default", "labels": labels}
        api.create({"apiVersion": "v1", "kind": "Pod", **one, "metadata": metadata})
    inventory.clear_away(inventory.pods())
    assert api.named("Pod") == ["running"]
