"""The frontends on Kubernetes: workloads and Services (spec §10.6). Pure."""

from __future__ import annotations

from typing import Any

from clipper.managers.base import MANAGEMENT_PORT, QUERY_PORT, RPC_PORT, ClusterOptions
from clipper.managers.kubernetes import names, pods
from clipper.managers.kubernetes.settings import SERVICE_RESOURCES, KubernetesSettings
from clipper.managers.kubernetes.store import secret_name

LAME_DUCK_S = 5
"""A frontend that shall end serves on so long: until no node sends it anything new."""

_DRAIN_S = 15
"""What a query frontend's supervisor gives its workers to answer what is in flight."""

QUERY_GRACE_S = LAME_DUCK_S + _DRAIN_S + 10
_MANAGEMENT_GRACE_S = LAME_DUCK_S + 20


def frontend_count(settings: KubernetesSettings, options: ClusterOptions) -> int:
    """Return how many query frontends there may be at most."""
    return max(options.num_frontend_replicas, settings.max_frontend_replicas or 0)


def management_objects(settings: KubernetesSettings, image: str) -> list[dict[str, Any]]:
    """Return the management frontend's Deployment and Service."""
    cluster, role = settings.cluster_name, names.MANAGEMENT
    name = names.of_cluster("mgmt-frontend", cluster)
    selector = names.selector(cluster, role)
    words = ["management-frontend", *_listen(settings, MANAGEMENT_PORT), *_autoscaler(settings)]
    container = {
        "name": "management-frontend",
        "image": image,
        "args": words,
        "env": [
            pods.from_secret("CLIPPER_REDIS_URL", secret_name(settings), pods.SECRET_REDIS_URL)
        ],
        "ports": [pods.port("management", MANAGEMENT_PORT)],
        "resources": SERVICE_RESOURCES,
        "lifecycle": _lame_duck(),
        **pods.frontend_probes("management"),
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": selector},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "template": {
            "metadata": {"labels": names.labels(cluster, role)},
            "spec": pods.pod_spec(
                settings,
                container,
                selector,
                service_account=names.of_cluster("mgmt-frontend", cluster),
                grace_s=_MANAGEMENT_GRACE_S,
                uses_api=settings.autoscale_models,
            ),
        },
    }
    return [
        pods.service(
            settings, name, role, MANAGEMENT_PORT, "management",
            kind=settings.service_types["management"], selector=selector,
        ),
        pods.named_object("apps/v1", "Deployment", name, settings, role, spec=spec),
    ]  # fmt: skip


def query_objects(settings: KubernetesSettings, options: ClusterOptions) -> list[dict[str, Any]]:
    """Return the query frontends: one StatefulSet, the Service of predictions, the RPC Services."""
    cluster, role = settings.cluster_name, names.QUERY
    name = names.of_cluster("query-frontend", cluster)
    selector = names.selector(cluster, role)
    rpc_kind = settings.service_types["query-rpc"]
    own = [
        pods.service(
            settings, names.rpc_of_frontend(index, cluster), role, RPC_PORT, "rpc",
            kind=rpc_kind, before_ready=True,
            selector=selector | {names.POD_NAME_LABEL: f"{name}-{index}"},
        )
        for index in range(frontend_count(settings, options))
    ]  # fmt: skip
    entry = pods.service(
        settings, names.rpc_entry(cluster), role, RPC_PORT, "rpc",
        kind="ClusterIP", before_ready=True, selector=selector,
    )  # fmt: skip
    http = pods.service(
        settings, name, role, QUERY_PORT, "query",
        kind=settings.service_types["query"], selector=selector,
    )  # fmt: skip
    return [http, entry, *own, _query_workload(settings, options, name, selector)]


def _query_workload(
    settings: KubernetesSettings, options: ClusterOptions, name: str, selector: dict[str, str]
) -> dict[str, Any]:
    cluster, role = settings.cluster_name, names.QUERY
    secret = secret_name(settings)
    container = {
        "name": "query-frontend",
        "image": options.query_frontend_image,
        "args": _query_words(settings, options),
        "env": [
            pods.from_pod("POD_NAME", "metadata.name"),
            pods.from_pod("CLIPPER_ADVERTISE_HOST", "status.podIP"),
            pods.from_secret("CLIPPER_REDIS_URL", secret, pods.SECRET_REDIS_URL),
            pods.from_secret("CLIPPER_TOKEN", secret, pods.SECRET_TOKEN, optional=True),
        ],
        "ports": [pods.port("query", QUERY_PORT), pods.port("rpc", RPC_PORT)],
        "resources": settings.frontend_resources,
        "lifecycle": _lame_duck(),
        **pods.frontend_probes("query"),
    }
    spec: dict[str, Any] = {
        "serviceName": names.rpc_entry(cluster),
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": selector},
        "updateStrategy": {"type": "RollingUpdate"},
        "template": {
            "metadata": {
                "labels": names.labels(cluster, role),
                "annotations": pods.scrape_annotations(QUERY_PORT),
            },
            "spec": pods.pod_spec(
                settings,
                container,
                selector,
                service_account=names.of_cluster("clipper", cluster),
                grace_s=QUERY_GRACE_S,
            ),
        },
    }
    if settings.max_frontend_replicas is None:  # else it is the autoscaler's number
        spec["replicas"] = options.num_frontend_replicas
    return pods.named_object("apps/v1", "StatefulSet", name, settings, role, spec=spec)


def _query_words(settings: KubernetesSettings, options: ClusterOptions) -> list[str]:
    flags: dict[str, object] = {
        "--rpc-port": RPC_PORT,
        "--frontend-id": "$(POD_NAME)",
        "--prediction-cache-size": options.cache_size_bytes,
        "--workers": options.qf_http_thread_pool_size,
        "--timeout-request": options.qf_http_timeout_request_s,
        "--timeout-content": options.qf_http_timeout_content_s,
    }
    words = [text for flag, value in flags.items() for text in (flag, str(value))]
    return ["query-frontend", *_listen(settings, QUERY_PORT), *words]


def _autoscaler(settings: KubernetesSettings) -> list[str]:
    if not settings.autoscale_models:
        return []
    return [
        "--autoscale", "kubernetes", "--namespace", settings.namespace,
        "--autoscale-cool-down", str(settings.autoscale_cool_down_s),
    ]  # fmt: skip


def _listen(settings: KubernetesSettings, port: int) -> list[str]:
    return ["--host", "0.0.0.0", "--port", str(port), "--cluster-name", settings.cluster_name]


def _lame_duck() -> dict[str, Any]:
    return {"preStop": {"exec": {"command": ["sleep", str(LAME_DUCK_S)]}}}
