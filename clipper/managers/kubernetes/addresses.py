"""Where a cluster's Services are reached from here (spec §10.6). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clipper.errors import ClipperException
from clipper.managers.ports import join_address


def node_address(nodes: Sequence[Mapping[str, Any]], use_internal_ip: bool) -> str:
    """Return the address under which a node's ports are reached.

    Raises:
        ClipperException: no node has one that is meant for others.
    """
    kinds = ["ExternalDNS", "ExternalIP", *(["InternalIP"] if use_internal_ip else [])]
    for kind in kinds:
        for node in nodes:
            for address in node.get("status", {}).get("addresses", ()):
                if address["type"] == kind:
                    return str(address["address"])
    raise ClipperException(
        "No node of the Kubernetes cluster has an external address. If its internal ones can be "
        "reached from here, connect with useInternalIP=True (--internal-ip); else go through "
        "`kubectl proxy` with kubernetes_proxy_addr (--proxy), or use service_types LoadBalancer"
    )


def through_proxy(proxy: str, namespace: str, service: str, port: int) -> str:
    """Return a Service's address behind ``kubectl proxy``; paths may follow it."""
    return f"{proxy}/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy"


def needs_node(service: Mapping[str, Any]) -> bool:
    """Return whether a Service is reached through a node's port."""
    return bool(service["spec"]["type"] == "NodePort")


def balancer_address(service: Mapping[str, Any]) -> str | None:
    """Return ``host:port`` of a load balancer; None: the cloud has not given it one yet."""
    for entry in service.get("status", {}).get("loadBalancer", {}).get("ingress") or ():
        host = entry.get("ip") or entry.get("hostname")
        if host:
            return join_address(str(host), int(service["spec"]["ports"][0]["port"]))
    return None


def direct_address(service: Mapping[str, Any], node: str, in_cluster: bool) -> str:
    """Return ``host:port`` of a Service.

    Args:
        node: address of some node; unused unless `needs_node`.
        in_cluster: whether this process runs in a pod of the same Kubernetes cluster.

    Raises:
        ClipperException: the Service cannot be reached from here.
    """
    name, spec = service["metadata"]["name"], service["spec"]
    port = spec["ports"][0]
    if in_cluster:
        return join_address(f"{name}.{service['metadata']['namespace']}.svc", int(port["port"]))
    if spec["type"] == "NodePort":
        return join_address(node, int(port["nodePort"]))
    if spec["type"] == "LoadBalancer":
        found = balancer_address(service)
        if found is None:
            raise ClipperException(
                f"Service {name} has no address yet: the load balancer of this Kubernetes cluster "
                "gave it none. Try again in a minute, or start with service_types NodePort"
            )
        return found
    raise ClipperException(
        f"Service {name} is of type ClusterIP, which only pods of the Kubernetes cluster reach. "
        "Run `kubectl proxy` and connect with kubernetes_proxy_addr='127.0.0.1:8001' (--proxy)"
    )
