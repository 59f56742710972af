"""When a workload runs as it was applied."""

from __future__ import annotations

from typing import Any

import pytest

from clipper.managers.kubernetes.starting import done


def deployment(replicas: int = 1, generation: int = 2, **status: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 2, **status},
    }


def stateful_set(
    replicas: int = 2, update: str = "new", current: str = "new", **status: int
) -> dict[str, Any]:
    return {
        "kind": "StatefulSet",
        "metadata": {"generation": 2},
        "spec": {"replicas": replicas},
        "status": {
            "observedGeneration": 2, "updateRevision": update, "currentRevision": current, **status,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(deployment(replicas=0), id="scaled to none"),
        pytest.param(
            deployment(replicas=2, updatedReplicas=2, readyReplicas=2, replicas_=2), id="rolled out"
        ),
        pytest.param(
            stateful_set(updatedReplicas=2, currentReplicas=2, readyReplicas=2, replicas_=2),
            id="stateful",
        ),
        pytest.param(
            stateful_set(currentReplicas=2, readyReplicas=2, replicas_=2),
            id="stateful, as an old controller tells it",
        ),
    ],
)
def test_what_runs_as_it_was_applied(one: dict[str, Any]) -> None:
    _name_replicas(one)
    assert done(one)


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(deployment(generation=3, updatedReplicas=1, readyReplicas=1), id="unseen"),
        pytest.param(deployment(), id="no pod yet"),
        pytest.param(deployment(updatedReplicas=1, replicas_=1), id="not ready"),
        pytest.param(
            deployment(updatedReplicas=1, readyReplicas=1, replicas_=2),
            id="the old one serves, the new one is not ready",
        ),
        pytest.param(
            deployment(updatedReplicas=1, readyReplicas=2, replicas_=2),
            id="the new one is ready, the old one still there",
        ),
        pytest.param(
            deployment(replicas=1, updatedReplicas=2, readyReplicas=2, replicas_=2),
            id="too many",
        ),
        pytest.param(
            stateful_set(current="old", updatedReplicas=1, readyReplicas=2, replicas_=2),
            id="stateful, half of it new",
        ),
        pytest.param(
            stateful_set(current="old", updatedReplicas=2, readyReplicas=1, replicas_=2),
            id="stateful, the last one not ready",
        ),
        pytest.param(
            stateful_set(current="old", currentReplicas=2, readyReplicas=2, replicas_=2),
            id="stateful, nothing new yet",
        ),
        pytest.param(
            stateful_set(
                replicas=1, updatedReplicas=2, currentReplicas=2, readyReplicas=2, replicas_=2
            ),
            id="stateful, one too many",
        ),
        pytest.param({**deployment(), "status": {}}, id="no status yet"),
    ],
)
def test_what_does_not_yet_run_as_it_was_applied(one: dict[str, Any]) -> None:
    _name_replicas(one)
    assert not done(one)


def _name_replicas(one: dict[str, Any]) -> None:
    if "replicas_" in one["status"]:
        one["status"]["replicas"] = one["status"].pop("replicas_")
