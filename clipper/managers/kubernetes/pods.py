"""Parts that pod templates share: probes, security, spread over nodes, values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clipper.managers.base import METRIC_PORT
from clipper.managers.kubernetes import names
from clipper.managers.kubernetes.settings import KubernetesSettings
from clipper.managers.labels import CLUSTER_LABEL

USER_ID = 10001
"""Of every image of Clipper's own."""

READY_FILE = "/tmp/model_is_ready.check"
STORE_DIRECTORY = "/data"
HEALTH_CHECK = ["python", "-IS", "/opt/clipper/health.py"]
"""Of the frontends' image; it finds out by itself which role runs."""

SECRET_REDIS_URL = "redis-url"
SECRET_REDIS_PASSWORD = "redis-password"
SECRET_TOKEN = "token"


def value(name: str, text: str) -> dict[str, Any]:
    """Return an environment variable."""
    return {"name": name, "value": text}


def from_secret(name: str, secret: str, key: str, *, optional: bool = False) -> dict[str, Any]:
    """Return an environment variable whose value a Secret holds."""
    reference: dict[str, Any] = {"name": secret, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def from_pod(name: str, path: str) -> dict[str, Any]:
    """Return an environment variable whose value Kubernetes knows of the pod itself."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def port(name: str, number: int) -> dict[str, Any]:
    """Return a port of a container."""
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def http_probe(path: str, port_name: str, **timing: int) -> dict[str, Any]:
    """Return a probe that asks over HTTP."""
    return {"httpGet": {"path": path, "port": port_name, "scheme": "HTTP"}, **_timing(timing)}


def command_probe(command: Sequence[str], **timing: int) -> dict[str, Any]:
    """Return a probe that runs a command inside the container."""
    return {"exec": {"command": list(command)}, **_timing(timing)}


def _timing(given: Mapping[str, int]) -> dict[str, int]:
    known = {
        "period_s": "periodSeconds",
        "timeout_s": "timeoutSeconds",
        "failures": "failureThreshold",
    }
    times = {known[name]: number for name, number in given.items()}
    return {"timeoutSeconds": 3, "failureThreshold": 3, "successThreshold": 1, **times}


def frontend_probes(port_name: str) -> dict[str, Any]:
    """Return the probes of a frontend: ready only when it can serve, alive while it answers.

    Ready soon, unready only after seconds: a Service that drops its last pod for one slow answer
    turns a hiccup into an outage.
    """
    return {
        "startupProbe": http_probe("/livez", port_name, period_s=1, failures=120),
        "readinessProbe": http_probe("/readyz", port_name, period_s=2, failures=3),
        "livenessProbe": http_probe("/livez", port_name, period_s=5, timeout_s=5, failures=4),
    }


def store_probes() -> dict[str, Any]:
    """Return the probes of the store."""
    return {
        "startupProbe": command_probe(HEALTH_CHECK, period_s=1, failures=120),
        "readinessProbe": command_probe(HEALTH_CHECK, period_s=5, failures=3),
        "livenessProbe": command_probe(HEALTH_CHECK, period_s=10, timeout_s=5, failures=6),
    }


def model_probes() -> dict[str, Any]:
    """Return the probes of a model container.

    It is ready while it is loaded and registered with a frontend. It is alive while its metrics
    answer, which a frozen process does not, and given a minute: a model that holds the
    interpreter for one long batch is busy, not dead. Loading may take ten minutes.
    """
    ready = ["test", "-f", READY_FILE]
    return {
        "startupProbe": command_probe(ready, period_s=1, failures=600),
        "readinessProbe": command_probe(ready, period_s=5, failures=1),
        "livenessProbe": http_probe("/metrics", "metrics", period_s=10, timeout_s=5, failures=6),
    }


def hardened() -> dict[str, Any]:
    """Return the security of a container: no privilege, and nothing of its image can be changed."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def pod_spec(
    settings: KubernetesSettings,
    container: Mapping[str, Any],
    selector: Mapping[str, str],
    *,
    service_account: str,
    grace_s: int,
    uses_api: bool = False,
    writable: Sequence[str] = ("/tmp",),
    volumes: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a pod's specification around one container.

    Args:
        selector: labels of the pods that should not share a node or a zone with this one.
        uses_api: whether the pod gets its account's credentials.
        writable: directories of the container that can be written to; they begin empty.
        volumes: further ones.
    """
    scratch = [
        {"name": f"scratch-{number}", "mountPath": path} for number, path in enumerate(writable)
    ]
    spec: dict[str, Any] = {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": uses_api,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(selector)},
            }
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ],
        "containers": [
            {
                "imagePullPolicy": settings.image_pull_policy,
                "securityContext": hardened(),
                **container,
                "volumeMounts": [*scratch, *container.get("volumeMounts", ())],
            }
        ],
        "volumes": [*({"name": one["name"], "emptyDir": {}} for one in scratch), *volumes],
    }
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return spec


def named_object(
    api_version: str,
    kind: str,
    name: str,
    settings: KubernetesSettings,
    role: str = "",
    **parts: Any,
) -> dict[str, Any]:
    """Return an object of the cluster's namespace with the cluster's labels."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": settings.namespace,
            "labels": names.labels(settings.cluster_name, role),
        },
        **parts,
    }


def service(
    settings: KubernetesSettings,
    name: str,
    role: str,
    number: int,
    target: str,
    *,
    kind: str,
    selector: Mapping[str, str],
    before_ready: bool = False,
) -> dict[str, Any]:
    """Return a Service of one port.

    Args:
        number: the Service's port.
        target: name of the container's port.
        kind: such as ``ClusterIP``.
        before_ready: whether pods that are not ready yet are reached, too.
    """
    spec: dict[str, Any] = {
        "type": kind,
        "selector": dict(selector),
        "ports": [{"name": target, "port": number, "targetPort": target, "protocol": "TCP"}],
    }
    if before_ready:
        spec["publishNotReadyAddresses"] = True
    return named_object("v1", "Service", name, settings, role, spec=spec)


def scrape_annotations(number: int = METRIC_PORT) -> dict[str, str]:
    """Return the annotations by which a Prometheus finds a pod."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(number),
        "prometheus.io/path": "/metrics",
    }


def same_cluster(settings: KubernetesSettings, *roles: str) -> dict[str, Any]:
    """Return a peer of a NetworkPolicy: the cluster's pods of these roles."""
    return {
        "podSelector": {
            "matchLabels": {CLUSTER_LABEL: settings.cluster_name},
            "matchExpressions": [
                {"key": names.ROLE_LABEL, "operator": "In", "values": list(roles)}
            ],
        }
    }
