"""Replacing a lone query frontend without a gap.

A StatefulSet ends a pod before it makes the one that follows. With two frontends or more the
others serve meanwhile; a lone one is given company for the time of the change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clipper.managers.kubernetes import names
from clipper.managers.kubernetes.api import KubernetesApi
from clipper.managers.kubernetes.settings import KubernetesSettings
from clipper.managers.kubernetes.starting import wait_until_ready

_KIND = ("apps/v1", "StatefulSet")


@contextlib.contextmanager
def second_frontend(
    api: KubernetesApi,
    settings: KubernetesSettings,
    objects: Sequence[dict[str, Any]],
) -> Iterator[None]:
    """Let a second frontend run during the block, if a lone one is about to be replaced.

    Args:
        objects: what the block applies; the number of frontends among them is changed, and
            changed back in the end.
    """
    wanted = _frontends(settings, objects)
    if wanted is None or not _replaces_lone_pod(api, wanted):
        yield
        return
    wanted["spec"]["replicas"] = 2
    try:
        yield
    finally:
        wanted["spec"]["replicas"] = 1
        api.patch(*_KIND, wanted["metadata"]["name"], settings.namespace, {"spec": {"replicas": 1}})
    wait_until_ready(api, settings)


def _frontends(
    settings: KubernetesSettings, objects: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    name = names.of_cluster("query-frontend", settings.cluster_name)
    for one in objects:
        if one["kind"] == "StatefulSet" and one["metadata"]["name"] == name:
            return one
    return None


def _replaces_lone_pod(api: KubernetesApi, wanted: Mapping[str, Any]) -> bool:
    if wanted["spec"].get("replicas") != 1:
        return False
    metadata = wanted["metadata"]
    before = api.get(*_KIND, metadata["name"], metadata["namespace"])
    if before is None or before["spec"].get("replicas") != 1:
        return False
    after = api.apply(wanted, dry_run=True)
    return bool(after["spec"]["template"] != before["spec"]["template"])
