"""The namespace of a cluster, and the addresses under which its Services are reached from here."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence

from clipper.errors import ClipperException
from clipper.managers.base import MANAGEMENT_PORT, QUERY_PORT
from clipper.managers.kubernetes import addresses, names
from clipper.managers.kubernetes.api import KubernetesApi, Object, Refused
from clipper.managers.kubernetes.monitoring import PROMETHEUS_PORT
from clipper.managers.kubernetes.settings import KubernetesSettings

BALANCER_LIMIT_S = 300.0
"""A cloud takes minutes to make a load balancer."""
_PAUSE_S = 1.0
_FORBIDDEN = 403
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """How this client gets at the cluster's Services."""

    proxy: str | None
    """``host:port`` of a ``kubectl proxy``."""
    use_internal_ip: bool

    @property
    def by_node(self) -> bool:
        """Whether node ports are reached at a node's address, which has to be found."""
        return self.proxy is None and _IN_CLUSTER not in os.environ


@dataclasses.dataclass(frozen=True, slots=True)
class Addresses:
    """``host:port`` of each Service, with a path behind it where a proxy leads there."""

    query: str
    management: str
    metric: str


def require_namespace(api: KubernetesApi, namespace: str, may_make: bool) -> None:
    """Return when the namespace exists.

    Raises:
        ClipperException: it does not, and cannot or may not be made.
    """
    try:
        found = api.get("v1", "Namespace", namespace)
    except Refused as refusal:
        if refusal.status == _FORBIDDEN:
            return  # who may not look at namespaces may well use this one
        raise
    if found is not None and found["status"].get("phase") == "Terminating":
        raise ClipperException(f"Namespace {namespace} is being removed; try again when it is gone")
    if found is not None:
        return
    if not may_make:
        raise ClipperException(
            f"Namespace {namespace} does not exist. Make it with `kubectl create namespace "
            f"{namespace}`, or give create_namespace_if_not_exists=True (--create-namespace)"
        )
    try:
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    except Refused as refusal:
        raise ClipperException(
            f"Namespace {namespace} could not be made. Reason: {refusal}"
        ) from refusal


def find_addresses(
    api: KubernetesApi,
    settings: KubernetesSettings,
    reach: Reach,
    balancer_limit_s: float = BALANCER_LIMIT_S,
) -> Addresses:
    """Return where the cluster's Services are.

    Args:
        balancer_limit_s: how long to wait for each load balancer's address.

    Raises:
        ClipperException: a Service is missing, or cannot be reached from here.
    """
    cluster = settings.cluster_name

    def address(part: str, port: int) -> str:
        name = names.of_cluster(part, cluster)
        return _address(api, settings, reach, name, port, balancer_limit_s)

    query = address("query-frontend", QUERY_PORT)
    return Addresses(
        query=query,
        management=address("mgmt-frontend", MANAGEMENT_PORT),
        metric=query if settings.prometheus_image is None else address("metrics", PROMETHEUS_PORT),
    )


def _address(
    api: KubernetesApi,
    settings: KubernetesSettings,
    reach: Reach,
    name: str,
    port: int,
    balancer_limit_s: float,
) -> str:
    if reach.proxy is not None:
        return addresses.through_proxy(reach.proxy, settings.namespace, name, port)
    service = _service(api, settings, name, balancer_limit_s if reach.by_node else 0.0)
    node = ""
    if addresses.needs_node(service) and reach.by_node:
        node = addresses.node_address(_nodes(api), reach.use_internal_ip)
    return addresses.direct_address(service, node, in_cluster=not reach.by_node)


def _nodes(api: KubernetesApi) -> Sequence[Object]:
    try:
        return api.list("v1", "Node")
    except Refused as refusal:
        raise ClipperException(
            f"{refusal}. Without the nodes' addresses, go through `kubectl proxy` with "
            "kubernetes_proxy_addr (--proxy), or use service_types LoadBalancer"
        ) from refusal


def _service(
    api: KubernetesApi, settings: KubernetesSettings, name: str, balancer_limit_s: float
) -> Object:
    give_up_at = time.monotonic() + balancer_limit_s
    while True:
        found = api.get("v1", "Service", name, settings.namespace)
        if found is None:
            raise ClipperException(
                f"Could not connect to Clipper Kubernetes cluster. Reason: Service {name} is "
                "missing. Start the cluster again: what is missing is made anew"
            )
        awaited = found["spec"]["type"] == "LoadBalancer" and not addresses.balancer_address(found)
        if not awaited or time.monotonic() >= give_up_at:
            return found
        time.sleep(_PAUSE_S)
