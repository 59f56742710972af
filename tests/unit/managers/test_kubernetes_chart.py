"""The Helm chart makes what the manager makes, refuses wrong values, and fits newer Kubernetes."""

from __future__ import annotations

import copy
import json
import tarfile
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

import clipper
from clipper.managers.kubernetes import cluster
from clipper.managers.kubernetes.cluster import Offers
from tests import manifests
from tests.manifests import Object

SERVICES = {"management": "ClusterIP", "query": "LoadBalancer", "query-rpc": "NodePort"}

DEFAULTS: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {})
EXTERNAL: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = (
    {
        "clusterName": "c",
        "store": {"externalUrl": "rediss://:p@redis.example:6380/0"},
        "models": {"autoscaling": False, "probes": False, "resources": {"limits": {"cpu": 2}}},
        "networkPolicy": {"enabled": False},
        "images": {"registry": "r.example/clipper", "tag": "9", "prometheus": "prom/prometheus"},
    },
    {
        "cluster_name": "c",
        "redis_url": "rediss://:p@redis.example:6380/0",
        "autoscale_models": False,
        "model_probes": False,
        # Helm merges maps: what a default names stays unless it is named, too.
        "model_resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": 2, "memory": "4Gi"},
        },
        "network_policies": False,
        "prometheus_image": "prom/prometheus",
    },
    {
        "query_frontend_image": "r.example/clipper/query_frontend:9",
        "mgmt_frontend_image": "r.example/clipper/management_frontend:9",
    },
)
SCALED: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = (
    {
        "clusterName": "123",
        "token": "s3cret",
        "images": {
            "pullSecrets": ["one", "two"],
            "pullPolicy": "Always",
            "queryFrontend": "q",
            "managementFrontend": "m",
            "store": "s",
        },
        "queryFrontend": {
            "replicas": 2,
            "workers": 3,
            "cacheSizeBytes": 123456789012,
            "requestTimeoutS": 7,
            "contentTimeoutS": 8,
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
            "autoscaling": {"enabled": True, "maxReplicas": 5},
            "service": {"type": "LoadBalancer"},
            "rpcService": {"type": "NodePort"},
        },
        "managementFrontend": {"service": {"type": "ClusterIP"}},
        "prometheus": {"enabled": False},
        "store": {"port": 7777, "persistence": {"size": "9Gi", "storageClass": "fast"}},
    },
    {
        "cluster_name": "123",
        "token": "s3cret",
        "image_pull_secrets": ("one", "two"),
        "image_pull_policy": "Always",
        "max_frontend_replicas": 5,
        "frontend_resources": {
            "requests": {"cpu": "1", "memory": "1Gi"},
            "limits": {"memory": "2Gi"},
        },
        "service_types": {"redis": "ClusterIP", "metric": "NodePort", **SERVICES},
        "prometheus_image": None,
        "store_image": "s",
        "redis_port": 7777,
        "redis_storage": "9Gi",
        "redis_storage_class": "fast",
    },
    {
        "query_frontend_image": "q",
        "mgmt_frontend_image": "m",
        "num_frontend_replicas": 2,
        "qf_http_thread_pool_size": 3,
        "cache_size_bytes": 123456789012,
        "qf_http_timeout_request_s": 7,
        "qf_http_timeout_content_s": 8,
    },
)
FOREIGN_SECRET: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = (
    {
        "existingSecret": "mine",
        "store": {"persistence": {"enabled": False}},
        "queryFrontend": {
            "replicas": 4,
            "autoscaling": {"enabled": True, "maxReplicas": 2},
        },
    },
    {"existing_secret": "mine", "redis_storage": None, "max_frontend_replicas": 2},
    {"num_frontend_replicas": 4},
)
CASES = pytest.mark.parametrize(
    "case",
    [DEFAULTS, EXTERNAL, SCALED, FOREIGN_SECRET],
    ids=["defaults", "external", "scaled", "foreign-secret"],
)
VERSIONS = ("1.25", "1.29", "1.33", "1.37")
"""Of Kubernetes; older ones have no schemas in the validator."""


def made_by_manager(
    settings: dict[str, Any], options: dict[str, Any], namespace: str
) -> list[Object]:
    given = manifests.default_settings(namespace=namespace, **settings)
    wanted = manifests.default_options(**options)
    offers = Offers(pod_monitor=True)
    made = cluster.cluster_objects(given, wanted, offers, "password")
    return [cluster.anchor_object(given, wanted), *made]


def by_name(found: list[Object]) -> dict[tuple[str, str], Object]:
    named = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(named) == len(found)
    return named


def comparable(given: Object) -> Object:
    """Take away in what the two differ on purpose."""
    one = copy.deepcopy(given)
    one["metadata"]["labels"].pop("helm.sh/chart", None)
    template = one.get("spec", {}).get("template", {})
    for metadata in (one["metadata"], template.get("metadata", {})):
        metadata.get("labels", {}).pop("app.kubernetes.io/managed-by", None)
    if one["kind"] == "Secret":
        one["data"] = sorted(one["data"])
    if cluster.RECORD_KEY in one.get("data", {}):
        one["data"][cluster.RECORD_KEY] = json.loads(one["data"][cluster.RECORD_KEY])
    return one


@CASES
def test_the_chart_makes_what_the_manager_makes(case: Any) -> None:
    values, settings, options = case
    found = by_name(manifests.chart_objects(values, namespace="ns", offered=manifests.OPERATOR))
    wanted = by_name(made_by_manager(settings, options, "ns"))

    assert found.keys() == wanted.keys()
    for key in wanted:
        assert comparable(found[key]) == comparable(wanted[key]), key
