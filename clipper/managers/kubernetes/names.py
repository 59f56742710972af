"""Names, labels and annotations of what a cluster has on Kubernetes (spec §10.6). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import clipper
from clipper.managers.labels import CLUSTER_LABEL, MODEL_LABEL, create_model_container_label

ROLE_LABEL = "ai.clipper.name"
"""Value: one of the roles below."""

STORE = "redis"
MANAGEMENT = "mgmt-frontend"
QUERY = "query-frontend"
METRICS = "metrics"
MODEL = "model"
CLAIM = "claim"
"""Not of a pod, but of what says who changes a model version."""

NAME_ANNOTATION = "ai.clipper/model-name"
VERSION_ANNOTATION = "ai.clipper/model-version"
IMAGE_ANNOTATION = "ai.clipper/image"
INPUT_TYPE_ANNOTATION = "ai.clipper/input-type"
AUTOSCALE_MIN_ANNOTATION = "ai.clipper/autoscale-min"
AUTOSCALE_MAX_ANNOTATION = "ai.clipper/autoscale-max"

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
"""Set by Kubernetes itself on pods of a StatefulSet."""

_LIMIT = 63
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_HASH_LENGTH = 8


def of_cluster(part: str, cluster_name: str) -> str:
    """Return the name of one part of a cluster, such as ``redis-at-C``."""
    return f"{part}-at-{cluster_name}"


def anchor(cluster_name: str) -> str:
    """Return the name of the object that owns all others."""
    return of_cluster("clipper", cluster_name)


def kept(cluster_name: str) -> str:
    """Return the name of the object that remembers, of a stopped cluster, which models ran."""
    return of_cluster("clipper-models", cluster_name)


def rpc_entry(cluster_name: str) -> str:
    """Return the name of the Service that a model container dials first."""
    return of_cluster("query-frontend-rpc", cluster_name)


def rpc_of_frontend(index: int, cluster_name: str) -> str:
    """Return the name of one frontend's own RPC Service."""
    return of_cluster(f"query-frontend-{index}", cluster_name)


def model_deployment(name: str, version: str, cluster_name: str) -> str:
    """Return the name of a model version's Deployment; no two versions share one.

    ``digits`` ``1`` is ``digits-1-deployment-at-C``. A name that could also be read as another
    model's, that Kubernetes does not take, or that is too long, gets a hash.
    """
    plain = of_cluster(f"{name}-{version}-deployment", cluster_name)
    ambiguous = "-" in version or "-deployment-at-" in name
    if not ambiguous and len(plain) <= _LIMIT and _OBJECT_NAME.fullmatch(plain):
        return plain
    # Two dashes: before a version that is a hash itself, a plain name never has them.
    digest = _digest(f"{name} {version}")
    tail = of_cluster(f"--{digest}-deployment", cluster_name)
    head = re.sub(r"[^a-z0-9-]", "-", f"{name}-{version}".lower())
    return head[: _LIMIT - len(tail)].rstrip("-") + tail


def model_claim(name: str, version: str, cluster_name: str) -> str:
    """Return the name of the object that says who changes a model version."""
    return f"claim-{model_deployment(name, version, cluster_name)}"


def model_label(name: str, version: str) -> str:
    """Return the value of `MODEL_LABEL`: the usual one, or one that fits into a label."""
    label = create_model_container_label(name, version)
    if len(label) <= _LIMIT:
        return label
    return f"{label[: _LIMIT - _HASH_LENGTH - 1].rstrip('-._')}.{_digest(label)}"


def selector(cluster_name: str, role: str, model: str | None = None) -> dict[str, str]:
    """Return the labels that select the pods of a role, or of one model version."""
    labels = {CLUSTER_LABEL: cluster_name, ROLE_LABEL: role}
    return labels if model is None else labels | {MODEL_LABEL: model}


def labels(cluster_name: str, role: str = "", model: str | None = None) -> dict[str, str]:
    """Return the labels of an object: those that Clipper selects by, and the customary ones."""
    found = {
        CLUSTER_LABEL: cluster_name,
        "app.kubernetes.io/name": "clipper",
        "app.kubernetes.io/instance": cluster_name,
        "app.kubernetes.io/version": clipper.__version__,
        "app.kubernetes.io/managed-by": "clipper",
    }
    if role:
        found |= selector(cluster_name, role, model)
        found["app.kubernetes.io/component"] = role
    return found


def selector_text(wanted: Mapping[str, str]) -> str:
    """Return labels as the API wants them in a query."""
    return ",".join(f"{key}={value}" for key, value in wanted.items())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
