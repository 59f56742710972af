"""The cluster's Prometheus on Kubernetes, and what an operator's own Prometheus reads. Pure."""

from __future__ import annotations

from typing import Any

from clipper.managers.kubernetes import names, pods
from clipper.managers.kubernetes.settings import SERVICE_RESOURCES, KubernetesSettings
from clipper.managers.labels import CLUSTER_LABEL

PROMETHEUS_PORT = 9090
POD_MONITOR = ("monitoring.coreos.com/v1", "PodMonitor")
"""Scrapes pods as annotations do, where the Prometheus operator is installed."""

_CONFIG_DIRECTORY = "/etc/clipper-prometheus"
_DATA_DIRECTORY = "/prometheus"
_TARGETS_DIRECTORY = "/targets"
_SCRAPE_INTERVAL_S = 5
_DISCOVERY_RESOURCES = {
    "requests": {"cpu": "10m", "memory": "32Mi"},
    "limits": {"memory": "128Mi"},
}


def prometheus_objects(
    settings: KubernetesSettings, image: str, discovery_image: str
) -> list[dict[str, Any]]:
    """Return Prometheus: its configuration, its Deployment and its Service.

    Args:
        image: any Prometheus.
        discovery_image: of the frontends; a container beside Prometheus tells it whom to scrape.
    """
    cluster, role = settings.cluster_name, names.METRICS
    name = names.of_cluster("metrics", cluster)
    config = names.of_cluster("prometheus-config", cluster)
    selector = names.selector(cluster, role)
    targets = {"name": "targets", "mountPath": _TARGETS_DIRECTORY}
    container = {
        "name": "prometheus",
        "image": image,
        "args": [
            f"--config.file={_CONFIG_DIRECTORY}/prometheus.yml",
            f"--storage.tsdb.path={_DATA_DIRECTORY}",
            "--storage.tsdb.retention.size=2GB",
        ],
        "ports": [pods.port("prometheus", PROMETHEUS_PORT)],
        "resources": SERVICE_RESOURCES,
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG_DIRECTORY, "readOnly": True},
            {**targets, "readOnly": True},
        ],
        "startupProbe": pods.http_probe("/-/healthy", "prometheus", period_s=1, failures=120),
        "readinessProbe": pods.http_probe("/-/ready", "prometheus", period_s=5, failures=3),
        "livenessProbe": pods.http_probe(
            "/-/healthy", "prometheus", period_s=10, timeout_s=5, failures=6
        ),
    }
    pod = pods.pod_spec(
        settings,
        container,
        selector,
        service_account=name,
        grace_s=30,
        uses_api=True,
        writable=("/tmp", _DATA_DIRECTORY),
        volumes=[
            {"name": "config", "configMap": {"name": config}},
            {"name": "targets", "emptyDir": {}},
        ],
    )
    pod["containers"].append(_discovery(settings, discovery_image, targets))
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": selector},
        "strategy": {"type": "Recreate"},
        "template": {"metadata": {"labels": names.labels(cluster, role)}, "spec": pod},
    }
    data = {"prometheus.yml": configuration()}
    return [
        pods.named_object("v1", "ConfigMap", config, settings, role, data=data),
        pods.service(
            settings, name, role, PROMETHEUS_PORT, "prometheus",
            kind=settings.service_types["metric"], selector=selector,
        ),
        pods.named_object("apps/v1", "Deployment", name, settings, role, spec=spec),
    ]  # fmt: skip


def _discovery(settings: KubernetesSettings, image: str, targets: dict[str, Any]) -> dict[str, Any]:
    label = f"{CLUSTER_LABEL}={settings.cluster_name}"
    return {
        "name": "discovery",
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["python", "-IS", "/opt/clipper/discover.py"],
        "args": [f"{_TARGETS_DIRECTORY}/clipper.json", label],
        "resources": _DISCOVERY_RESOURCES,
        "securityContext": pods.hardened(),
        "volumeMounts": [targets],
    }


def configuration() -> str:
    """Return ``prometheus.yml``: every 5 s, whomever the discovery beside it names (spec §10.6)."""
    return (
        "global:\n"
        f"  scrape_interval: {_SCRAPE_INTERVAL_S}s\n"
        f"  evaluation_interval: {_SCRAPE_INTERVAL_S}s\n"
        "scrape_configs:\n"
        "  - job_name: clipper\n"
        "    file_sd_configs:\n"
        f"      - files: [{_TARGETS_DIRECTORY}/*.json]\n"
        f"        refresh_interval: {_SCRAPE_INTERVAL_S}s\n"
    )


def pod_monitor(settings: KubernetesSettings) -> dict[str, Any]:
    """Return what tells a Prometheus operator to scrape frontends and models."""
    cluster = settings.cluster_name
    relabel = [
        {
            "sourceLabels": [f"__meta_kubernetes_pod_annotation_ai_clipper_model_{part}"],
            "targetLabel": f"model_{part}",
        }
        for part in ("name", "version")
    ]
    spec = {
        "selector": {"matchLabels": {CLUSTER_LABEL: cluster}},
        "namespaceSelector": {"matchNames": [settings.namespace]},
        "podMetricsEndpoints": [
            {
                "port": port_name,
                "path": "/metrics",
                "interval": f"{_SCRAPE_INTERVAL_S}s",
                "relabelings": relabel,
            }
            for port_name in ("query", "metrics")
        ],
    }
    version, kind = POD_MONITOR
    return pods.named_object(version, kind, names.anchor(cluster), settings, spec=spec)
