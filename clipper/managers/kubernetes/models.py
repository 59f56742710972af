"""A model version on Kubernetes: its Deployment and its disruption budget. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from clipper.errors import ClipperException
from clipper.managers.base import METRIC_PORT, RPC_PORT
from clipper.managers.kubernetes import names, pods
from clipper.managers.kubernetes.settings import KubernetesSettings
from clipper.managers.kubernetes.store import secret_name
from clipper.managers.threads import thread_settings

_DRAIN_S = 30
MODEL_GRACE_S = _DRAIN_S + 10
_HOME = "/home/clipper"


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """A model version that runs, or shall run."""

    name: str
    version: str
    input_type: str
    image: str

    @property
    def label(self) -> str:
        """Value of the label by which its pods are found."""
        return names.model_label(self.name, self.version)


def model_deployment(
    settings: KubernetesSettings, model: Model, num_replicas: int, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Return the Deployment of a version.

    Args:
        num_replicas: how many pods.
        environ: the deploying user's, for the number of threads.
    """
    cluster, role = settings.cluster_name, names.MODEL
    selector = names.selector(cluster, role, model.label)
    labels = names.labels(cluster, role, model.label)
    annotations = {
        names.NAME_ANNOTATION: model.name,
        names.VERSION_ANNOTATION: model.version,
        names.IMAGE_ANNOTATION: model.image,
        names.INPUT_TYPE_ANNOTATION: model.input_type,
    }
    container = {
        "name": "model",
        "image": model.image,
        "imagePullPolicy": pull_policy(model.image, settings.image_pull_policy),
        "env": _environment(settings, model, environ),
        "ports": [pods.port("metrics", METRIC_PORT)],
        "resources": settings.model_resources,
        **(pods.model_probes() if settings.model_probes else {}),
    }
    spec = {
        "replicas": num_replicas,
        "revisionHistoryLimit": 2,
        "selector": {"matchLabels": selector},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "template": {
            "metadata": {
                "labels": labels,
                "annotations": {
                    names.NAME_ANNOTATION: model.name,
                    names.VERSION_ANNOTATION: model.version,
                    **pods.scrape_annotations(),
                },
            },
            "spec": pods.pod_spec(
                settings,
                container,
                selector,
                service_account=names.of_cluster("clipper", cluster),
                grace_s=MODEL_GRACE_S,
                writable=("/tmp", _HOME),
            ),
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": names.model_deployment(model.name, model.version, cluster),
            "namespace": settings.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    }


def bounds_annotations(bounds: tuple[int, int] | None) -> dict[str, str | None]:
    """Return the annotations that the autoscaler reads; None where there shall be none.

    Args:
        bounds: fewest and most replicas; None: it leaves the version alone.
    """
    fewest, most = (None, None) if bounds is None else (str(bounds[0]), str(bounds[1]))
    return {names.AUTOSCALE_MIN_ANNOTATION: fewest, names.AUTOSCALE_MAX_ANNOTATION: most}


def bounds_of(deployment: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the bounds of a version; None: it has none, or they cannot be read."""
    annotations = deployment["metadata"].get("annotations") or {}
    try:
        return (
            int(annotations[names.AUTOSCALE_MIN_ANNOTATION]),
            int(annotations[names.AUTOSCALE_MAX_ANNOTATION]),
        )
    except (KeyError, ValueError):
        return None


def pull_policy(image: str, usual: str) -> str:
    """Return when nodes pull the image: a name in a registry may mean a newer build by now."""
    host, slash, _ = image.partition("/")
    in_registry = bool(slash) and ("." in host or ":" in host)
    return "Always" if in_registry and "@sha256:" not in image else usual


def model_of(deployment: Mapping[str, Any]) -> Model:
    """Return what a model's Deployment runs.

    Raises:
        ClipperException: it lacks Clipper's annotations.
    """
    metadata = deployment["metadata"]
    annotations = metadata.get("annotations") or {}
    try:
        return Model(
            name=annotations[names.NAME_ANNOTATION],
            version=annotations[names.VERSION_ANNOTATION],
            input_type=annotations.get(names.INPUT_TYPE_ANNOTATION, ""),
            image=annotations.get(names.IMAGE_ANNOTATION, ""),
        )
    except KeyError as error:
        raise ClipperException(
            f"Deployment {metadata['name']} has a model's labels, but no annotation {error}: "
            "Clipper did not make it. Remove it, or its labels."
        ) from error


def _environment(
    settings: KubernetesSettings, model: Model, environ: Mapping[str, str]
) -> list[dict[str, Any]]:
    fixed = {
        **thread_settings(environ),
        "CLIPPER_MODEL_NAME": model.name,
        "CLIPPER_MODEL_VERSION": model.version,
        "CLIPPER_INPUT_TYPE": model.input_type,
        "CLIPPER_IP": names.rpc_entry(settings.cluster_name),
        "CLIPPER_PORT": str(RPC_PORT),
        "CLIPPER_READY_FILE": pods.READY_FILE,
        "CLIPPER_METRICS_PORT": str(METRIC_PORT),
        "CLIPPER_DRAIN_TIMEOUT_S": str(_DRAIN_S),
    }
    token = pods.from_secret(
        "CLIPPER_TOKEN", secret_name(settings), pods.SECRET_TOKEN, optional=True
    )
    return [*(pods.value(name, text) for name, text in fixed.items()), token]
