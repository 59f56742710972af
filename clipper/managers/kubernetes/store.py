"""The cluster's own store on Kubernetes, and where the frontends find theirs."""

from __future__ import annotations

import base64
import dataclasses
import urllib.parse
from typing import Any

from clipper.errors import ClipperException
from clipper.managers.base import REDIS_PORT
from clipper.managers.kubernetes import names, pods
from clipper.managers.kubernetes.api import KubernetesApi, Refused
from clipper.managers.kubernetes.settings import SERVICE_RESOURCES, KubernetesSettings
from clipper.managers.labels import CLUSTER_LABEL

_GRACE_S = 30
_VOLUME = "data"


def secret_name(settings: KubernetesSettings) -> str:
    """Return the name of the Secret with the store's address and the token."""
    own = names.of_cluster("clipper-secrets", settings.cluster_name)
    return settings.existing_secret or own


def volume_claim_name(cluster_name: str) -> str:
    """Return the name of the own store's claim for a volume, as its StatefulSet gives it."""
    return f"{_VOLUME}-{names.of_cluster('redis', cluster_name)}-0"


def external_url(url: str | None, host: str | None, port: int) -> str | None:
    """Return the URL of the Redis that was given; None: none was.

    Raises:
        ClipperException: pods cannot reach it.
    """
    if url is None and host is not None:
        url = f"redis://{f'[{host}]' if ':' in host else host}:{port}/0"
    if url is None:
        return None
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ClipperException(
            "redis_url must be redis://host:port/0, or rediss:// with TLS: pods reach nothing else"
        )
    if parts.hostname in ("localhost", "::1") or parts.hostname.startswith("127."):
        raise ClipperException(
            f"{parts.hostname} means each pod itself. Give the name or address under which pods "
            "reach Redis"
        )
    return url


def password_of(api: KubernetesApi, settings: KubernetesSettings) -> str | None:
    """Return the password that the own store runs with; None: it does not run."""
    return _known(api, settings).get(pods.SECRET_REDIS_PASSWORD)


def as_running(api: KubernetesApi, settings: KubernetesSettings) -> KubernetesSettings:
    """Return the settings with the running cluster's store and token where none were given.

    Raises:
        ClipperException: others were given. Processes read them when they start, so that one half
            of the cluster would not know the other.
    """
    known = _known(api, settings)
    if not known:
        return settings
    url, token = known.get(pods.SECRET_REDIS_URL, ""), known.get(pods.SECRET_TOKEN)
    own = pods.SECRET_REDIS_PASSWORD in known
    changed = [
        what
        for what, is_changed in (
            ("Redis", settings.redis_url is not None and settings.redis_url != url),
            ("token", settings.token is not None and settings.token != token),
        )
        if is_changed
    ]
    if changed:
        raise ClipperException(
            f"Cluster {settings.cluster_name} runs with another {' and another '.join(changed)}. "
            "Stop it first (stop_all or `clipper down`), or leave it as it is by giving none"
        )
    if own:
        port = urllib.parse.urlsplit(url).port or settings.redis_port
        return dataclasses.replace(settings, token=token, redis_port=port)
    return dataclasses.replace(settings, token=token, redis_url=url)


def _known(api: KubernetesApi, settings: KubernetesSettings) -> dict[str, str]:
    """Return what the Secret of the running cluster holds."""
    name = secret_name(settings)
    found = api.get("v1", "Secret", name, settings.namespace) or {}
    return {key: base64.b64decode(text).decode() for key, text in (found.get("data") or {}).items()}


def forget_volume(api: KubernetesApi, settings: KubernetesSettings) -> None:
    """Remove the own store's volume; none is no error."""
    kind, wanted = ("v1", "PersistentVolumeClaim"), {CLUSTER_LABEL: settings.cluster_name}
    for found in api.list(*kind, settings.namespace, wanted):
        api.delete(*kind, found["metadata"]["name"], settings.namespace)


def require_storage(api: KubernetesApi, settings: KubernetesSettings) -> None:
    """Return if the own store can have its volume, so far as this user may know.

    Raises:
        ClipperException: the Kubernetes cluster has no class of volumes for it.
    """
    if not settings.own_store or settings.redis_storage is None:
        return
    name = volume_claim_name(settings.cluster_name)
    try:
        if api.get("v1", "PersistentVolumeClaim", name, settings.namespace) is not None:
            return  # of an earlier run
        classes = api.list("storage.k8s.io/v1", "StorageClass")
    except Refused:
        return
    if settings.redis_storage_class is None and not any(map(_is_default, classes)):
        known = ", ".join(str(one["metadata"]["name"]) for one in classes) or "none"
        raise ClipperException(
            "The store needs a volume, and this Kubernetes cluster has no default storage class "
            f"(it has: {known}). Name one with redis_storage_class (--storage-class), give an "
            "existing Redis with redis_ip or redis_url, or do without a volume with "
            "redis_storage=None (--no-storage): configuration and feedback are then lost whenever "
            "the store's pod is replaced"
        )


def _is_default(storage_class: dict[str, Any]) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return any(
        annotations.get(f"storageclass.{place}/is-default-class") == "true"
        for place in ("kubernetes.io", "beta.kubernetes.io")
    )


def secrets(settings: KubernetesSettings, password: str) -> dict[str, Any]:
    """Return the Secret that all processes of the cluster read.

    Args:
        password: of the own store; unused with an external one, whose URL holds its own.
    """
    texts = {pods.SECRET_REDIS_URL: settings.redis_url or _own_url(settings, password)}
    if settings.own_store:
        texts[pods.SECRET_REDIS_PASSWORD] = password
    if settings.token:
        texts[pods.SECRET_TOKEN] = settings.token
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    name = secret_name(settings)
    return pods.named_object("v1", "Secret", name, settings, type="Opaque", data=data)


def _own_url(settings: KubernetesSettings, password: str) -> str:
    host = names.of_cluster("redis", settings.cluster_name)
    return f"redis://:{password}@{host}:{settings.redis_port}/0"


def store_objects(settings: KubernetesSettings, image: str) -> list[dict[str, Any]]:
    """Return the own store: a StatefulSet of one pod on a volume, and its Service."""
    cluster, role = settings.cluster_name, names.STORE
    name = names.of_cluster("redis", cluster)
    selector = names.selector(cluster, role)
    container = {
        "name": "store",
        "image": image,
        "args": [
            "store", "--data-dir", pods.STORE_DIRECTORY, "--host", "0.0.0.0",
            "--port", str(REDIS_PORT),
        ],
        "env": [
            pods.from_secret(
                "CLIPPER_REDIS_PASSWORD", secret_name(settings), pods.SECRET_REDIS_PASSWORD
            )
        ],
        "ports": [pods.port("redis", REDIS_PORT)],
        "resources": SERVICE_RESOURCES,
        "volumeMounts": [{"name": _VOLUME, "mountPath": pods.STORE_DIRECTORY}],
        **pods.store_probes(),
    }  # fmt: skip
    volumes = [] if settings.redis_storage else [{"name": _VOLUME, "emptyDir": {}}]
    spec = {
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": selector},
        "template": {
            "metadata": {"labels": names.labels(cluster, role)},
            "spec": pods.pod_spec(
                settings,
                container,
                selector,
                service_account=names.of_cluster("clipper", cluster),
                grace_s=_GRACE_S,
                volumes=volumes,
            ),
        },
    }
    if settings.redis_storage:
        spec["volumeClaimTemplates"] = [_claim(settings, settings.redis_storage)]
    return [
        pods.service(
            settings, name, role, settings.redis_port, "redis",
            kind=settings.service_types["redis"], selector=selector,
        ),
        pods.named_object("apps/v1", "StatefulSet", name, settings, role, spec=spec),
    ]  # fmt: skip


def _claim(settings: KubernetesSettings, size: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    if settings.redis_storage_class is not None:
        spec["storageClassName"] = settings.redis_storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": _VOLUME, "labels": names.selector(settings.cluster_name, names.STORE)},
        "spec": spec,
    }
