"""The manifests that the repository ships: the Helm chart, and the base for kustomize.

    python -m tests.manifests

writes the base anew, after the manager's objects or Clipper's version have changed.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import helm_python
import yaml
from helm_python import _native

from clipper.managers.base import ClusterOptions
from clipper.managers.kubernetes import rendering
from clipper.managers.kubernetes.cluster import RECORD_KEY, Offers
from clipper.managers.kubernetes.settings import KubernetesSettings
from clipper.managers.stock_images import (
    FRONTEND_IMAGE,
    MANAGEMENT_IMAGE,
    PROMETHEUS_IMAGE,
    stock_image,
)

Object = dict[str, Any]

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
CHART = DEPLOY / "helm" / "clipper"
BASE = DEPLOY / "kubernetes" / "base"
NAMESPACE = "clipper"
"""Of the base."""

OPERATOR = ("monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/PrometheusRule")
"""What a Prometheus operator adds to a Kubernetes cluster."""

_HEADER = (
    "# Written by `python -m tests.manifests`: what the manager makes of a cluster with default\n"
    "# settings, but for its Secret. README.md beside this says how to make and apply both.\n"
)


def default_settings(**changed: Any) -> KubernetesSettings:
    """Return what a manager without arguments uses."""
    given: dict[str, Any] = {
        "cluster_name": "default-cluster",
        "prometheus_image": stock_image(PROMETHEUS_IMAGE),
    }
    return KubernetesSettings(**(given | changed))


def default_options(**changed: Any) -> ClusterOptions:
    """Return what `start_clipper` without arguments uses."""
    given = {
        "query_frontend_image": stock_image(FRONTEND_IMAGE),
        "mgmt_frontend_image": stock_image(MANAGEMENT_IMAGE),
        "frontend_exporter_image": "",
    }
    return ClusterOptions(**(given | changed))


@functools.cache
def chart() -> helm_python.Chart:
    """Return the chart of the repository."""
    return helm_python.Chart.load(CHART)


def render_chart(
    values: Mapping[str, Any], *, namespace: str = "default", offered: Sequence[str] = ()
) -> dict[str, str]:
    """Render the chart without a cluster; return the path of each template → text.

    Args:
        offered: API versions that the cluster shall have beyond Kubernetes' own.

    Raises:
        helm_python.HelmError: the values are refused.
    """
    options = {"name": "release", "namespace": namespace, "api_versions": list(offered)}
    # `Chart.render` has no argument for API versions; the library beneath it has.
    text = _native.call_string(
        "helm_render", chart()._raw(), json.dumps(dict(values)), json.dumps(options)
    )
    rendered: dict[str, str] = json.loads(text)
    return rendered


def chart_objects(values: Mapping[str, Any], **options: Any) -> list[Object]:
    """Return the objects that an installation of the chart makes; arguments as `render_chart`."""
    texts = render_chart(values, **options)
    return objects(
        *(text for path, text in texts.items() if "/tests/" not in path and path.endswith(".yaml"))
    )


def objects(*texts: str) -> list[Object]:
    """Return the objects of texts with YAML documents."""
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def comparable(given: Iterable[Object]) -> dict[str, Object]:
    """Return ``kind/name`` → object, without what Helm's and the manager's differ in on purpose.

    That is who manages it and the chart's label, whose Secrets have passwords of their own, and
    the order of keys in the anchor's record.
    """
    found: dict[str, Object] = {}
    for original in given:
        one = copy.deepcopy(original)
        template = one.get("spec", {}).get("template", {})
        for metadata in (one["metadata"], template.get("metadata", {})):
            for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                metadata.get("labels", {}).pop(label, None)
        if one["kind"] == "Secret":
            one["data"] = sorted(one["data"])
        if RECORD_KEY in one.get("data", {}):
            one["data"][RECORD_KEY] = json.loads(one["data"][RECORD_KEY])
        name = f"{one['kind']}/{one['metadata']['name']}"
        assert name not in found, f"{name} is there twice"
        found[name] = one
    return found


def base_objects() -> list[Object]:
    """Return what the base has to say."""
    return rendering.render(default_settings(namespace=NAMESPACE), default_options(), Offers())


def base_text() -> str:
    """Return how the base says it."""
    return _HEADER + rendering.to_yaml(base_objects())


if __name__ == "__main__":
    (BASE / "clipper.yaml").write_text(base_text(), encoding="utf-8")
