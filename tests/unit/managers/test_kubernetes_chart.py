"""The Helm chart makes what the manager makes, refuses wrong values, and fits newer Kubernetes."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from clipper.managers.kubernetes import cluster
from clipper.managers.kubernetes.cluster import Offers
from clipper.managers.kubernetes.models import Model, model_deployment
from clipper.managers.kubernetes.settings import ClusterRecord
from clipper.managers.labels import CLUSTER_LABEL
from tests import manifests
from tests.manifests import Object

SERVICES = {"management": "ClusterIP", "query": "LoadBalancer", "query-rpc": "NodePort"}

DEFAULTS: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {})
EXTERNAL: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = (
    {
        "clusterName": "c",
        "store": {"externalUrl": "rediss://:p@redis.example:6380/0"},
        "models": {"probes": False, "resources": {"limits": {"cpu": 2}}},
        "networkPolicy": {"enabled": False},
        "images": {"registry": "r.example/clipper", "tag": "9", "prometheus": "prom/prometheus"},
    },
    {
        "cluster_name": "c",
        "redis_url": "rediss://:p@redis.example:6380/0",
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
        "models": {"autoscaling": {"enabled": True, "coolDownS": 30}},
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
        "autoscale_models": True,
        "autoscale_cool_down_s": 30,
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


@CASES
def test_the_chart_makes_what_the_manager_makes(case: Any) -> None:
    values, settings, options = case
    found = manifests.comparable(
        manifests.chart_objects(values, namespace="ns", offered=manifests.OPERATOR)
    )
    wanted = manifests.comparable(made_by_manager(settings, options, "ns"))

    assert found.keys() == wanted.keys()
    for key in wanted:
        assert found[key] == wanted[key], key


@CASES
def test_clients_read_the_charts_record(case: Any) -> None:
    values, settings, options = case
    anchors = [
        one for one in manifests.chart_objects(values) if cluster.RECORD_KEY in one.get("data", {})
    ]
    assert len(anchors) == 1
    workers = manifests.default_options(**options).qf_http_thread_pool_size
    wanted = ClusterRecord.of(manifests.default_settings(**settings), workers)
    assert cluster.record_of(anchors[0]) == dataclasses.replace(
        wanted, image_pull_secrets=list(wanted.image_pull_secrets)
    )


def test_models_take_the_token_from_an_existing_secret() -> None:
    settings = manifests.default_settings(existing_secret="mine")
    deployment = model_deployment(settings, Model("m", "1", "doubles", "image"), 1, {})
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    references = [
        one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one
    ]
    assert references == [{"name": "mine", "key": "token", "optional": True}]


@pytest.mark.parametrize("version", VERSIONS)
@CASES
def test_all_objects_are_valid_on_newer_kubernetes(case: Any, version: str) -> None:
    values, settings, options = case
    ours = cluster.cluster_objects(
        manifests.default_settings(**settings), manifests.default_options(**options), Offers(), "p"
    )
    test_pod = manifests.objects(
        manifests.render_chart(values)["clipper/templates/tests/ready.yaml"]
    )
    charts = manifests.chart_objects(values | {"monitoring": {"dashboard": True}})
    model = model_deployment(
        manifests.default_settings(**settings), Model("m", "1", "doubles", "image"), 1, {}
    )
    for one in (*ours, *charts, *test_pod, model):
        kubernetes_validate.validate(one, version, strict=True)


def test_the_store_is_reached_with_its_password() -> None:
    data = secret_data({"store": {"port": 7777}, "token": "s3cret"})
    password = data["redis-password"]
    assert re.fullmatch(r"[A-Za-z0-9]{32}", password)
    assert data["redis-url"] == f"redis://:{password}@redis-at-default-cluster:7777/0"
    assert data["token"] == "s3cret"
    assert password != secret_data({})["redis-password"]


def test_an_external_store_is_reached_where_it_was_said() -> None:
    url = "rediss://u:p%40@redis.example:1/3?x=1"
    assert secret_data({"store": {"externalUrl": url}}) == {"redis-url": url}


def secret_data(values: dict[str, Any]) -> dict[str, str]:
    (secret,) = [one for one in manifests.chart_objects(values) if one["kind"] == "Secret"]
    return {key: base64.b64decode(coded).decode() for key, coded in secret["data"].items()}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicas": 2}, "'replicas' not allowed"),
        ({"queryFrontend": {"replica": 2}}, "'replica' not allowed"),
        ({"queryFrontend": {"replicas": "2"}}, "replicas.*got string, want integer"),
        ({"queryFrontend": {"replicas": 0}}, "replicas.*minimum"),
        ({"queryFrontend": {"service": {"type": "ExternalName"}}}, "service/type"),
        ({"queryFrontend": {"resources": {"limit": {}}}}, "'limit' not allowed"),
        ({"models": {"resources": {"limits": {"memory": "4 GB"}}}}, "limits/memory"),
        ({"store": {"persistence": {"enabled": "yes"}}}, "enabled.*got string, want boolean"),
        ({"store": {"externalUrl": "redis.example:6379"}}, "externalUrl"),
        ({"clusterName": "Mine"}, "clusterName"),
        ({"clusterName": "c" * 35}, "clusterName"),
        ({"token": 5}, "token.*got number, want string"),
        ({"podAnnotations": {"a": 1}}, "podAnnotations"),
        ({"token": "a", "existingSecret": "b"}, "put the token into the existing Secret"),
        ({"store": {"enabled": False}}, "name a Redis with store.externalUrl"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(helm_python.HelmError, match=f"(?s){complaint}"):
        manifests.render_chart(values)


def test_a_redis_known_to_an_existing_secret_alone_is_enough() -> None:
    values = {"existingSecret": "mine", "store": {"enabled": False}}
    made = manifests.comparable(manifests.chart_objects(values))
    assert "StatefulSet/redis-at-default-cluster" not in made
    assert "Secret/clipper-secrets-at-default-cluster" not in made


def test_all_pods_go_where_they_are_sent() -> None:
    values: dict[str, Any] = {
        "podAnnotations": {"team": "a"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    }
    templates = [
        one["spec"]["template"]
        for one in manifests.chart_objects(values)
        if one["kind"] in ("Deployment", "StatefulSet")
    ]
    assert len(templates) == 4
    for template in templates:
        assert template["metadata"]["annotations"]["team"] == "a"
        for name in set(values) - {"podAnnotations"}:
            assert template["spec"][name] == values[name]
    scraped = [t["metadata"]["annotations"].get("prometheus.io/port") for t in templates]
    assert sorted(filter(None, scraped)) == ["1337"]


def test_alerts_and_dashboard_come_when_they_are_asked_for() -> None:
    values = {
        "monitoring": {
            "alerts": True,
            "dashboard": True,
            "datasourceUid": "mine",
            "labels": {"release": "stack"},
        }
    }
    found = {
        one["kind"]: one
        for one in manifests.chart_objects(values, offered=manifests.OPERATOR)
        if one["metadata"]["labels"].get("release") == "stack"
    }
    assert set(found) == {"PodMonitor", "PrometheusRule", "ConfigMap"}
    alerts = yaml.safe_load((manifests.DEPLOY / "prometheus/alerts.yml").read_text())
    assert found["PrometheusRule"]["spec"] == alerts
    original = (manifests.DEPLOY / "grafana/dashboards/clipper.json").read_text()
    assert found["ConfigMap"]["metadata"]["labels"]["grafana_dashboard"] == "1"
    shown = found["ConfigMap"]["data"]["clipper.json"]
    assert json.loads(shown) == json.loads(original.replace("clipper-prometheus", "mine"))


def test_without_an_operator_there_is_nothing_for_it() -> None:
    made = manifests.chart_objects({"monitoring": {"alerts": True}})
    assert {one["kind"] for one in made} & {"PodMonitor", "PrometheusRule"} == set()


def test_the_test_asks_both_frontends() -> None:
    values = {"clusterName": "c", "images": {"managementFrontend": "m"}}
    text = manifests.render_chart(values)["clipper/templates/tests/ready.yaml"]
    (pod,) = manifests.objects(text)
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    # Or else the manager takes it for a part of the cluster.
    assert CLUSTER_LABEL not in pod["metadata"]["labels"]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "m"
    assert container["command"][-2:] == ["query-frontend-at-c:1337", "mgmt-frontend-at-c:1338"]


@pytest.mark.parametrize(
    ("values", "command"),
    [
        ({}, "clipper --mode kubernetes --namespace ns status"),
        ({"clusterName": "c"}, "clipper --mode kubernetes --namespace ns --cluster c status"),
    ],
)
def test_notes_say_how_to_go_on(values: dict[str, Any], command: str) -> None:
    notes = manifests.render_chart(values, namespace="ns")["clipper/templates/NOTES.txt"]
    assert command in notes
    assert "helm test release --namespace ns" in notes
    assert "<no value>" not in notes
