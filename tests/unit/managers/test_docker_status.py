"""What a cluster's containers say of it, also by their absence."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from clipper.managers.base import ClusterStatus
from clipper.managers.docker import plan
from clipper.managers.docker.specs import ROLE_LABEL, Role
from clipper.managers.docker.status import cluster_status

from .test_docker_plan import settings

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def container(role: Role, labels: Mapping[str, str]) -> Any:
    state = {"Pid": 7, "Status": "running", "StartedAt": "2026-01-01T00:00:00Z", "ExitCode": 0}
    return SimpleNamespace(
        name=f"{role}-1",
        status="running",
        labels={**labels, ROLE_LABEL: role.value},
        attrs={"State": state, "RestartCount": 0},
    )


def status_without(*gone: Role, **given: Any) -> ClusterStatus:
    """Return the status of a whole cluster, or of what is left of it."""
    chosen = settings(**given)
    labels = plan.management_container(chosen, "i", plan.StoreAddress("redis://r:1/0")).labels
    roles = [Role.METRICS, Role.QUERY, Role.MANAGEMENT, Role.STORE]
    containers = [
        container(role, labels if role is Role.MANAGEMENT else {})
        for role in roles
        if role not in gone
    ]
    return cluster_status("c", containers, NOW)


@pytest.mark.parametrize(
    ("role", "name"),
    [(Role.STORE, "store"), (Role.METRICS, "prometheus"), (Role.QUERY, "query-frontend")],
)
def test_a_part_that_was_removed_is_missed(role: Role, name: str) -> None:
    status = status_without(role)
    assert status["services"][name] == 1
    assert [row["role"] for row in status["children"] if row["state"] == "removed"] == [name]
    assert all(row["pid"] for row in status["children"] if row["role"] != name)


def test_nothing_is_missed_that_the_cluster_never_had() -> None:
    whole = status_without()
    assert [row["state"] for row in whole["children"]] == ["running"] * 4
    bare = status_without(Role.STORE, Role.METRICS, redis_ip="10.0.0.1", prometheus_image=None)
    assert sorted(bare["services"]) == ["management-frontend", "query-frontend"]
