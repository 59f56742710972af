"""Every object of a cluster: valid in all API versions, and consistent with the others."""

from __future__ import annotations

import functools
import json
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_validate.utils import all_versions
from packaging.version import Version

from clipper.managers.kubernetes import names
from clipper.managers.kubernetes.cluster import Offers, record_of
from clipper.managers.kubernetes.settings import ClusterRecord
from clipper.managers.labels import CLUSTER_LABEL

from .examples import (
    CASES,
    FOREIGN_PASSWORD,
    PASSWORD,
    TOKEN,
    objects,
    of_kind,
    pod_spec,
    selected,
    settings,
    template_labels,
    workloads,
)

OLDEST = Version("1.20")
VERSIONS = sorted({one for one in all_versions() if Version(one) >= OLDEST}, key=Version)

each_case = pytest.mark.parametrize("case", CASES)
clusters = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?", fullmatch=True)


def offers_of(version: str) -> Offers:
    """Return what Kubernetes of a version has."""
    of = Version(version)
    return Offers(
        budget="policy/v1" if of >= Version("1.21") else "policy/v1beta1",
        autoscaler="autoscaling/v2" if of >= Version("1.23") else "autoscaling/v2beta2",
    )


@functools.cache
def problem(version: str, text: str) -> str:
    """Return what Kubernetes of a version has against an object."""
    try:
        kubernetes_validate.validate(json.loads(text), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error)
    return ""


def test_the_validator_knows_old_and_new_versions() -> None:
    assert min(map(Version, VERSIONS)) < Version("1.26")
    assert max(map(Version, VERSIONS)) >= Version("1.33")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str) -> None:
    """Those of every kind of cluster in the oldest and newest version, of one in all between.

    Versions before those that the validator knows are asked themselves, in tests/kubernetes.
    """
    for case in CASES if version in (VERSIONS[0], VERSIONS[-1]) else ["everything"]:
        for one in objects(case, offers=offers_of(version)):
            assert problem(version, json.dumps(one, sort_keys=True)) == "", (case, one["metadata"])


def test_the_plainest_autoscaler_is_valid() -> None:
    found = objects("autoscaled", offers=Offers(autoscaler="autoscaling/v1"))
    [scaler] = of_kind(found, "HorizontalPodAutoscaler")
    assert problem(VERSIONS[-1], json.dumps(scaler)) == ""


def test_what_is_not_offered_is_left_out() -> None:
    found = objects("everything", offers=Offers(budget=None, autoscaler=None))
    assert of_kind(found, "PodDisruptionBudget", "HorizontalPodAutoscaler", "PodMonitor") == []


@each_case
def test_names_are_unique_labels_are_there_and_nothing_is_outside_the_namespace(case: str) -> None:
    found = objects(case)
    keys = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(set(keys)) == len(keys)
    for one in found:
        assert one["metadata"]["namespace"] == "n"
        assert one["metadata"]["labels"][CLUSTER_LABEL] == "c"
    assert {"ClusterRole", "ClusterRoleBinding"}.isdisjoint(kind for kind, _ in keys)


@each_case
def test_selectors_match_their_own_templates_and_no_others(case: str) -> None:
    found = workloads(objects(case))
    for one in found:
        selector = one["spec"]["selector"]["matchLabels"]
        matched = [other for other in found if selected(selector, template_labels(other))]
        assert matched == [one]


@each_case
def test_services_lead_to_ports_that_their_pods_have(case: str) -> None:
    found = objects(case)
    for service in of_kind(found, "Service"):
        selector = dict(service["spec"]["selector"])
        pod_name = selector.pop(names.POD_NAME_LABEL, "")
        [target] = [one for one in workloads(found) if selected(selector, template_labels(one))]
        assert pod_name.startswith(target["metadata"]["name"] if pod_name else "")
        known = {
            port["name"]
            for container in pod_spec(target)["containers"]
            for port in container.get("ports", ())
        }
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= known
        for container in pod_spec(target)["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert container.get(probe, {}).get("httpGet", {}).get("port", "") in {"", *known}


def test_each_frontend_has_an_rpc_service_of_its_own() -> None:
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects(), "Service")}
    for index in range(3):  # the autoscaler may make a third
        selector = services[f"query-frontend-{index}-at-c"]["selector"]
        assert selector[names.POD_NAME_LABEL] == f"query-frontend-at-c-{index}"
    assert names.POD_NAME_LABEL not in services["query-frontend-at-c"]["selector"]


@given(first=clusters, second=clusters, case=st.sampled_from(sorted(CASES)))
def test_no_selector_of_a_cluster_matches_a_pod_of_another(
    first: str, second: str, case: str
) -> None:
    if first == second:
        return
    strangers = [template_labels(one) for one in workloads(objects(case, second))]
    for selector in _selectors(objects(case, first)):
        assert not any(selected(selector, labels) for labels in strangers), selector


def _selectors(part: Any) -> list[dict[str, str]]:
    """Return every selector of labels anywhere inside; an empty one matches everything."""
    if isinstance(part, list):
        return [found for one in part for found in _selectors(one)]
    if not isinstance(part, dict):
        return []
    found = [found for one in part.values() for found in _selectors(one)]
    if part.get("kind") == "Service":
        found.append(part["spec"]["selector"])
    else:
        peers = (part.get(key, {}) for key in ("podSelector", "labelSelector", "selector"))
        found += [peer["matchLabels"] for peer in peers if "matchLabels" in peer]
    return found


@each_case
def test_every_role_has_a_network_policy(case: str) -> None:
    found = objects(case)
    policies = of_kind(found, "NetworkPolicy")
    for workload in workloads(found):
        labels = template_labels(workload)
        matching = [
            one for one in policies
            if selected(one["spec"]["podSelector"]["matchLabels"], labels)
        ]  # fmt: skip
        assert len(matching) == 1, labels
        [policy] = matching
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        assert all(rule["ports"] for rule in policy["spec"]["ingress"])


def test_only_frontends_reach_the_store_and_only_models_the_rpc_ports() -> None:
    policies = {
        one["metadata"]["name"]: one["spec"]["ingress"]
        for one in of_kind(objects(), "NetworkPolicy")
    }

    def roles(rule: dict[str, Any]) -> list[str]:
        [peer] = rule["from"]
        assert peer["podSelector"]["matchLabels"] == {CLUSTER_LABEL: "c"}
        [expression] = peer["podSelector"]["matchExpressions"]
        values: list[str] = expression["values"]
        return values

    [store] = policies["redis-at-c"]
    assert roles(store) == ["query-frontend", "mgmt-frontend"]
    http, rpc = policies["query-frontend-at-c"]
    assert "from" not in http
    assert (roles(rpc), [one["port"] for one in rpc["ports"]]) == (["model"], [7000, 7001])


def test_models_elsewhere_reach_an_rpc_port_that_is_open_to_them() -> None:
    [policy] = [
        one for one in of_kind(objects("load balancers"), "NetworkPolicy")
        if one["metadata"]["name"] == "query-frontend-at-c"
    ]  # fmt: skip
    assert all("from" not in rule for rule in policy["spec"]["ingress"])


@each_case
def test_secrets_are_in_the_secret_alone(case: str) -> None:
    found = objects(case)
    text = json.dumps([one for one in found if one["kind"] != "Secret"])
    for secret in (TOKEN, PASSWORD, FOREIGN_PASSWORD):
        assert secret not in text
    [secret] = of_kind(found, "Secret")
    own = {"redis-password"} if case != "external store" else set()
    assert own <= set(secret["data"])
    assert ("token" in secret["data"]) is (settings(case).token is not None)


@each_case
def test_rights_are_the_namespaces_and_spelt_out(case: str) -> None:
    found = objects(case)
    for role in of_kind(found, "Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "secrets" not in rule["resources"]
    accounts = {one["metadata"]["name"] for one in of_kind(found, "ServiceAccount")}
    roles = {one["metadata"]["name"] for one in of_kind(found, "Role")}
    for binding in of_kind(found, "RoleBinding"):
        assert binding["roleRef"]["kind"] == "Role"
        assert binding["roleRef"]["name"] in roles
        assert {one["name"] for one in binding["subjects"]} <= accounts
        assert {one["namespace"] for one in binding["subjects"]} == {"n"}
    assert {pod_spec(one)["serviceAccountName"] for one in workloads(found)} <= accounts


@each_case
def test_the_anchor_tells_how_the_cluster_was_made(case: str) -> None:
    anchor = objects(case)[0]
    assert record_of(anchor) == ClusterRecord.of(settings(case), workers=2)


def test_the_autoscaler_alone_says_how_many_frontends_there_are() -> None:
    """Else a further start would take away those that it added."""
    for case, replicas in (("plain", 2), ("autoscaled", None)):
        [frontends] = [
            one for one in workloads(objects(case)) if "query-frontend" in one["metadata"]["name"]
        ]
        assert frontends["spec"].get("replicas") == replicas
    [scaler] = of_kind(objects("autoscaled"), "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == "query-frontend-at-c"
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 4)
