"""Under which address a Service is reached from here."""

from __future__ import annotations

from typing import Any

import pytest

from clipper.errors import ClipperException
from clipper.managers.kubernetes import reaching
from clipper.managers.kubernetes.addresses import direct_address, node_address
from clipper.managers.kubernetes.api import Refused
from clipper.managers.kubernetes.reaching import Reach, find_addresses
from clipper.managers.kubernetes.settings import KubernetesSettings
from tests.fakes.fake_kubernetes import FakeKubernetes

from .examples import CASES, objects, of_kind


def node(**addresses: str) -> dict[str, Any]:
    rows = [{"type": kind, "address": address} for kind, address in addresses.items()]
    return {"status": {"addresses": rows}}


def service(kind: str, *ingress: dict[str, str]) -> dict[str, Any]:
    ports = [{"port": 1337, "targetPort": "query"}]
    if kind != "ClusterIP":
        ports[0]["nodePort"] = 31337
    return {
        "metadata": {"name": "query", "namespace": "n"},
        "spec": {"type": kind, "ports": ports},
        "status": {"loadBalancer": {"ingress": list(ingress)} if ingress else {}},
    }


def test_the_address_of_a_node_that_is_meant_for_others() -> None:
    inner = node(InternalIP="10.0.0.1", Hostname="a")
    outer = node(InternalIP="10.0.0.2", ExternalIP="203.0.113.2")
    named = node(ExternalIP="203.0.113.3", ExternalDNS="c.example.org")
    assert node_address([inner, outer], use_internal_ip=False) == "203.0.113.2"
    assert node_address([inner, outer], use_internal_ip=True) == "203.0.113.2"
    assert node_address([inner, outer, named], use_internal_ip=False) == "c.example.org"
    assert node_address([inner], use_internal_ip=True) == "10.0.0.1"
    for nodes in ([inner], [{}], []):
        with pytest.raises(ClipperException, match=r"useInternalIP=True \(--internal-ip\)"):
            node_address(nodes, use_internal_ip=False)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (service("NodePort"), "203.0.113.1:31337"),
        (service("LoadBalancer", {"ip": "203.0.113.9"}), "203.0.113.9:1337"),
        (service("LoadBalancer", {"hostname": "lb.example.org"}), "lb.example.org:1337"),
        (service("LoadBalancer", {"ip": "2001:db8::9"}), "[2001:db8::9]:1337"),
    ],
)
def test_a_service_from_outside(found: dict[str, Any], expected: str) -> None:
    assert direct_address(found, "203.0.113.1", in_cluster=False) == expected


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_a_service_from_a_pod(kind: str) -> None:
    assert direct_address(service(kind), "", in_cluster=True) == "query.n.svc:1337"


def test_services_that_are_not_reached_from_here() -> None:
    with pytest.raises(ClipperException, match=r"has no address yet.*NodePort"):
        direct_address(service("LoadBalancer"), "", in_cluster=False)
    with pytest.raises(ClipperException, match=r"ClusterIP.*kubectl proxy"):
        direct_address(service("ClusterIP"), "", in_cluster=False)


def found_with(case: str, reach: Reach) -> reaching.Addresses:
    api = FakeKubernetes("n")
    for one in of_kind(objects(case), "Service"):
        api.apply(one)
    settings = KubernetesSettings(cluster_name="c", namespace="n", **CASES[case])
    return find_addresses(api, settings, reach)


def test_all_addresses_through_a_proxy() -> None:
    found = found_with("prometheus", Reach("127.0.0.1:8001", use_internal_ip=False))
    services = "127.0.0.1:8001/api/v1/namespaces/n/services"
    assert found.query == f"{services}/query-frontend-at-c:1337/proxy"
    assert found.management == f"{services}/mgmt-frontend-at-c:1338/proxy"
    assert found.metric == f"{services}/metrics-at-c:9090/proxy"


def test_all_addresses_at_a_node() -> None:
    found = found_with("prometheus", Reach(None, use_internal_ip=False))
    every = [found.query, found.management, found.metric]
    assert len(set(every)) == 3
    assert all(one.startswith("203.0.113.1:3") for one in every)


def test_without_a_prometheus_the_frontends_tell_the_metrics() -> None:
    found = found_with("plain", Reach(None, use_internal_ip=False))
    assert found.metric == found.query


def test_all_addresses_from_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    found = found_with("load balancers", Reach(None, use_internal_ip=False))
    assert found.query == "query-frontend-at-c.n.svc:1337"
    assert found.metric == "metrics-at-c.n.svc:9090"


def test_who_may_not_look_at_nodes_is_told_other_ways() -> None:
    api = FakeKubernetes("n")
    for one in of_kind(objects("plain"), "Service"):
        api.apply(one)
    api.refused["list", "Node"] = Refused("nodes is forbidden", 403)
    settings = KubernetesSettings(cluster_name="c", namespace="n")
    with pytest.raises(ClipperException, match=r"nodes is forbidden\..*kubectl proxy"):
        find_addresses(api, settings, Reach(None, use_internal_ip=False))


def test_a_service_that_is_missing() -> None:
    settings = KubernetesSettings(cluster_name="c", namespace="n")
    with pytest.raises(ClipperException, match=r"Could not connect.*query-frontend-at-c is miss"):
        find_addresses(FakeKubernetes("n"), settings, Reach(None, use_internal_ip=False))
