"""Every pod of a cluster: no privilege, bounded, looked after, and ended with time to drain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clipper.managers.kubernetes import models

from .examples import CASES, MODEL, objects, pod_spec, settings, workloads

each_case = pytest.mark.parametrize("case", CASES)

NEEDS_THE_API = {"metrics-at-c": True, "mgmt-frontend-at-c": False}
"""Workload → whether it speaks to the API always, or only with models to scale."""


def pods(case: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in workloads(objects(case)):
        yield one["metadata"]["name"], pod_spec(one)


def containers(case: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, pod in pods(case):
        for container in pod["containers"]:
            yield f"{name}/{container['name']}", container


@each_case
def test_no_container_has_any_privilege(case: str) -> None:
    for name, pod in pods(case):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not any("hostPath" in volume for volume in pod["volumes"])
    for name, container in containers(case):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in security


@each_case
def test_only_who_speaks_to_the_api_has_credentials(case: str) -> None:
    scales = settings(case).autoscale_models
    for name, pod in pods(case):
        needs = name in NEEDS_THE_API and (NEEDS_THE_API[name] or scales)
        assert pod["automountServiceAccountToken"] is needs, name
        assert pod["enableServiceLinks"] is False


@each_case
def test_every_container_is_bounded(case: str) -> None:
    for name, container in containers(case):
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"]), name
        assert "memory" in resources["limits"]
        assert "cpu" not in resources["limits"]


@each_case
def test_every_process_that_can_be_asked_is_asked(case: str) -> None:
    for name, container in containers(case):
        unasked = name == "metrics-at-c/discovery" or (
            name.startswith("digits-1") and not settings(case).model_probes
        )
        probes = {key for key in container if key.endswith("Probe")}
        expected = {"startupProbe", "readinessProbe", "livenessProbe"}
        assert probes == (set() if unasked else expected), name


@each_case
def test_who_ends_has_time_to_drain(case: str) -> None:
    for name, pod in pods(case):
        [container, *_] = pod["containers"]
        grace_s = pod["terminationGracePeriodSeconds"]
        if "frontend" in name:
            [command, pause] = container["lifecycle"]["preStop"]["exec"]["command"]
            assert command == "sleep"
            assert grace_s > int(pause) + 15
        environment = {one["name"]: one.get("value") for one in container.get("env", ())}
        assert grace_s > float(environment.get("CLIPPER_DRAIN_TIMEOUT_S") or 0)


@each_case
def test_everything_that_is_mounted_is_there(case: str) -> None:
    for workload in workloads(objects(case)):
        pod = pod_spec(workload)
        claimed = workload["spec"].get("volumeClaimTemplates", ())
        there = {volume["name"] for volume in pod["volumes"]}
        there |= {claim["metadata"]["name"] for claim in claimed}
        for container in pod["containers"]:
            mounts = container["volumeMounts"]
            assert {mount["name"] for mount in mounts} <= there
            paths = [mount["mountPath"] for mount in mounts]
            assert len(set(paths)) == len(paths)
            assert "/tmp" in paths or container["name"] == "discovery"


@each_case
def test_a_rollout_takes_nothing_away_before_something_new_is_ready(case: str) -> None:
    for workload in workloads(objects(case)):
        strategy = workload["spec"].get("strategy")
        if workload["kind"] == "Deployment" and workload["metadata"]["name"] != "metrics-at-c":
            assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_images_are_pulled_with_the_secrets_that_were_given() -> None:
    for _, pod in pods("pulled with a secret"):
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
    for _, pod in pods("plain"):
        assert "imagePullSecrets" not in pod


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("digits:1", "IfNotPresent"),
        ("team/digits:1", "IfNotPresent"),
        ("registry.example.org/digits:1", "Always"),
        ("localhost:5000/digits:1", "Always"),
        ("registry.example.org/digits@sha256:0123", "IfNotPresent"),
    ],
)
def test_what_may_change_under_its_name_is_looked_up(image: str, policy: str) -> None:
    assert models.pull_policy(image, "IfNotPresent") == policy


def test_a_model_is_told_who_it_is_and_read_back_from_its_deployment() -> None:
    deployment = models.model_deployment(settings(), MODEL, 3, {"OMP_NUM_THREADS": "4"})
    assert models.model_of(deployment) == MODEL
    [container] = pod_spec(deployment)["containers"]
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert (told["CLIPPER_MODEL_NAME"], told["CLIPPER_MODEL_VERSION"]) == ("digits", "1")
    assert told["CLIPPER_IP"] == "query-frontend-rpc-at-c"
    assert told["OMP_NUM_THREADS"] == "4"
    assert deployment["spec"]["replicas"] == 3
