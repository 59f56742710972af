"""Which models a stopped cluster ran, so that its next start brings them back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from clipper.managers.kubernetes import names, pods
from clipper.managers.kubernetes.api import KubernetesApi, Object
from clipper.managers.kubernetes.models import Model, bounds_of, model_of
from clipper.managers.kubernetes.settings import KubernetesSettings

_KEY = "models.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A model version, how many replicas it had, and between what bounds they follow its load."""

    model: Model
    num_replicas: int
    bounds: tuple[int, int] | None


def keep(api: KubernetesApi, settings: KubernetesSettings, deployments: Iterable[Object]) -> None:
    """Write down what these Deployments run; the object outlives the cluster."""
    rows = [
        {
            **dataclasses.asdict(model_of(one)),
            "num_replicas": int(one["spec"].get("replicas", 1)),
            "bounds": bounds_of(one),
        }
        for one in deployments
    ]
    name = names.kept(settings.cluster_name)
    api.apply(pods.named_object("v1", "ConfigMap", name, settings, data={_KEY: json.dumps(rows)}))


def kept(api: KubernetesApi, settings: KubernetesSettings) -> list[Kept]:
    """Return what was written down; nothing if nothing was, or if it cannot be read."""
    found = api.get("v1", "ConfigMap", names.kept(settings.cluster_name), settings.namespace)
    if found is None:
        return []
    try:
        rows = json.loads((found.get("data") or {})[_KEY])
        return [
            Kept(
                Model(row["name"], row["version"], row["input_type"], row["image"]),
                int(row["num_replicas"]),
                tuple(row["bounds"]) if row.get("bounds") else None,
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError):
        return []


def forget(api: KubernetesApi, settings: KubernetesSettings) -> None:
    """Remove what was written down."""
    api.delete("v1", "ConfigMap", names.kept(settings.cluster_name), settings.namespace)
