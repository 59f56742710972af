"""What a manager on Kubernetes is constructed with, and what a running cluster remembers of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper.errors import ClipperException
from clipper.managers.kubernetes import KubernetesContainerManager, settings, store
from clipper.managers.kubernetes.settings import (
    DEFAULT_SERVICE_TYPES,
    ClusterRecord,
    KubernetesSettings,
    check_kubernetes_name,
    check_service_types,
)
from tests.fakes.fake_kubernetes import FakeKubernetes


@pytest.mark.parametrize(
    ("given_types", "message"),
    [
        (["query"], "service_types must be 'dict' type: list"),
        ({"query": "NodePort", "frontend": "NodePort"}, "service_types has unknown keys: frontend"),
        ({"query": "External"}, "service_types has unknown values: External"),
        ({"query": "ExternalName"}, "Clipper does not support 'ExternalName' service"),
    ],
)
def test_service_types_that_there_are_not(given_types: object, message: str) -> None:
    with pytest.raises(ClipperException, match=message):
        KubernetesContainerManager(service_types=given_types, api=FakeKubernetes())


def test_every_service_has_a_type_and_defaults_do_not_leak() -> None:
    before = dict(DEFAULT_SERVICE_TYPES)
    changed = check_service_types({"query": "LoadBalancer"})
    changed["redis"] = "NodePort"
    assert check_service_types({}) == before == dict(DEFAULT_SERVICE_TYPES)
    first, second = (KubernetesSettings(cluster_name=name) for name in ("a", "b"))
    assert first.service_types is not second.service_types
    assert first.frontend_resources is not settings.FRONTEND_RESOURCES


@pytest.mark.parametrize("name", ["default-cluster", "c", "1", "c" * 34, "a--b"])
def test_names_of_clusters(name: str) -> None:
    check_kubernetes_name(name)


@pytest.mark.parametrize(
    "name", ["", "-c", "c-", "C", "a.b", "a_b", "c" * 35, "a b", "c\n", "a/b", "ä"]
)
def test_names_that_kubernetes_does_not_take(name: str) -> None:
    with pytest.raises(ClipperException, match=r"lower case letters.*at most 34 characters"):
        KubernetesContainerManager(name, api=FakeKubernetes())


def test_the_identifier_names_the_namespace_unless_it_is_the_default_one() -> None:
    def identifier(namespace: str) -> str:
        api = FakeKubernetes()
        return KubernetesContainerManager("c", namespace=namespace, api=api).cluster_identifier

    assert (identifier("default"), identifier("prod")) == ("c", "prod-c")


records = st.builds(
    ClusterRecord,
    service_types=st.fixed_dictionaries(
        {key: st.sampled_from(settings.SERVICE_TYPES) for key in settings.SERVICE_KEYS}
    ),
    own_store=st.booleans(),
    prometheus=st.booleans(),
    workers=st.integers(1, 64),
    image_pull_secrets=st.lists(st.text()),
    model_resources=st.dictionaries(
        st.sampled_from(["requests", "limits"]), st.dictionaries(st.text(), st.text())
    ),
    model_probes=st.booleans(),
)


@given(record=records)
def test_a_record_is_read_as_it_was_written(record: ClusterRecord) -> None:
    assert ClusterRecord.from_json(record.to_json()) == record


def test_a_record_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    record = ClusterRecord.of(KubernetesSettings(cluster_name="c"), workers=2)
    assert ClusterRecord.from_json(record.to_json()[:-1] + ', "news": 1}') == record


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"workers": 1}', "null"])
def test_a_record_that_cannot_be_read_is_said_to_be_another_versions(text: str) -> None:
    with pytest.raises(ClipperException, match="another version of Clipper"):
        ClusterRecord.from_json(text)


def test_a_redis_that_was_given() -> None:
    assert store.external_url(None, None, 6379) is None
    assert store.external_url(None, "10.0.0.9", 6380) == "redis://10.0.0.9:6380/0"
    assert store.external_url(None, "fd00::9", 6379) == "redis://[fd00::9]:6379/0"
    assert store.external_url("rediss://u:p@r:1/2", None, 1) == "rediss://u:p@r:1/2"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_a_redis_on_this_machine_is_none_for_pods(host: str) -> None:
    with pytest.raises(ClipperException, match="means each pod itself"):
        store.external_url(None, host, 6379)


@pytest.mark.parametrize("url", ["unix:///s", "http://r:1", "r:6379", "redis://"])
def test_a_redis_that_pods_do_not_reach(url: str) -> None:
    with pytest.raises(ClipperException, match="redis_url must be"):
        store.external_url(url, None, 6379)
