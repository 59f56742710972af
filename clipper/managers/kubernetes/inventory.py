"""What a cluster has in its namespace, found by its labels; making, pruning and removing it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clipper.errors import ClipperException
from clipper.managers.kubernetes import names, policies
from clipper.managers.kubernetes.api import KubernetesApi, Object, Refused
from clipper.managers.kubernetes.monitoring import POD_MONITOR
from clipper.managers.kubernetes.settings import KubernetesSettings
from clipper.managers.labels import CLUSTER_LABEL

WORKLOADS = (("apps/v1", "StatefulSet"), ("apps/v1", "Deployment"))
_RBAC = "rbac.authorization.k8s.io/v1"
_PAUSE_S = 0.2
_FORBIDDEN = 403

_HELM = "Helm"
_MANAGED_BY = "app.kubernetes.io/managed-by"


class Inventory:
    """The objects of one cluster."""

    def __init__(self, api: KubernetesApi, settings: KubernetesSettings) -> None:
        self._api = api
        self._cluster = settings.cluster_name
        self._namespace = settings.namespace

    def anchor(self) -> Object | None:
        """Return the object that owns the others; None: there is no such cluster."""
        return self._api.get("v1", "ConfigMap", names.anchor(self._cluster), self._namespace)

    def workloads(self) -> list[Object]:
        """Return what keeps the cluster's pods running, the models' too."""
        return [one for version, kind in WORKLOADS for one in self.of_kind(version, kind)]

    def models(self) -> Sequence[Object]:
        """Return the Deployments of models."""
        wanted = names.selector(self._cluster, names.MODEL)
        return self._api.list("apps/v1", "Deployment", self._namespace, wanted)

    def pods(self, model: str | None = None) -> list[Object]:
        """Return the pods, newest first.

        Args:
            model: only those with this value of the model label.
        """
        wanted = {CLUSTER_LABEL: self._cluster}
        if model is not None:
            wanted = names.selector(self._cluster, names.MODEL, model)
        found = self._api.list("v1", "Pod", self._namespace, wanted)
        return sorted(
            found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True
        )

    def of_kind(self, version: str, kind: str) -> Sequence[Object]:
        """Return the cluster's objects of a kind."""
        return self._api.list(version, kind, self._namespace, {CLUSTER_LABEL: self._cluster})

    def _visible(self, version: str, kind: str) -> Sequence[Object]:
        """Return the cluster's objects of a kind that this user may see.

        Whoever may not see those of a kind made none; and what others made goes with its owner.
        """
        try:
            return self.of_kind(version, kind)
        except Refused as refusal:
            if refusal.status == _FORBIDDEN:
                return []
            raise

    def apply(self, objects: Iterable[Mapping[str, Any]], owner: Object) -> None:
        """Make the objects, or bring them up to date; deleting the owner deletes them.

        Whoever calls this has asked `refuse_foreign` of each, before anything is changed.

        Raises:
            ClipperException: the API server refused.
        """
        reference = {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
        }
        for wanted in objects:
            metadata = {**wanted["metadata"], "ownerReferences": [reference]}
            self._api.apply({**wanted, "metadata": metadata})

    def refuse_foreign(self, wanted: Mapping[str, Any]) -> None:
        """Return if the object does not exist, or is this cluster's.

        Raises:
            ClipperException: it is somebody else's.
        """
        name = wanted["metadata"]["name"]
        found = self._api.get(wanted["apiVersion"], wanted["kind"], name, self._namespace)
        if found is None:
            return
        labels = found["metadata"].get("labels") or {}
        if labels.get(CLUSTER_LABEL) != self._cluster:
            raise ClipperException(
                f"{wanted['kind']} {name} in namespace {self._namespace} exists and is not this "
                "cluster's. Choose another cluster name or namespace, or remove it"
            )
        if labels.get(_MANAGED_BY) == _HELM:
            raise ClipperException(
                f"Cluster {self._cluster} in namespace {self._namespace} was installed by Helm: "
                "change it with `helm upgrade`, and use `clipper` for models and applications"
            )

    def prune(self, wanted: Iterable[Mapping[str, Any]]) -> None:
        """Remove what an earlier start of the cluster needed and this one does not."""
        needed = {(one["kind"], one["metadata"]["name"]) for one in wanted}
        for version, kind in self._owned_kinds():
            for found in self._visible(version, kind):
                metadata = found["metadata"]
                role, name = metadata["labels"].get(names.ROLE_LABEL), str(metadata["name"])
                network = kind == "NetworkPolicy"  # one for all models
                if (kind, name) in needed or self._keeps(kind, name):
                    continue
                if network or role not in (names.MODEL, names.CLAIM):
                    self._api.delete(version, kind, name, self._namespace)

    def _keeps(self, kind: str, name: str) -> bool:
        """Whether an object outlives its cluster, or goes last."""
        of_cluster = (names.anchor(self._cluster), names.kept(self._cluster))
        return kind == "ConfigMap" and name in of_cluster

    def remove(self, *, graceful: bool, limit_s: float) -> None:
        """Remove everything but the store's volume and the memory of the models.

        Raises:
            ClipperException: pods are still there when the time is over, or Helm keeps them.
        """
        self.refuse_helm()
        give_up_at = time.monotonic() + limit_s
        if graceful:
            # While they drain, they ask models and write to the store what was learned.
            for one in filter(_is_frontend, self.workloads()):
                self._api.delete(
                    one["apiVersion"], one["kind"], one["metadata"]["name"], self._namespace
                )
            while self._must_wait(left := list(filter(_is_frontend, self.pods())), give_up_at):
                self.clear_away(left)
                time.sleep(_PAUSE_S)
        for version, kind in self._owned_kinds():
            for found in self._visible(version, kind):
                name = str(found["metadata"]["name"])
                if not self._keeps(kind, name):
                    self._api.delete(version, kind, name, self._namespace)
        self._api.delete("v1", "ConfigMap", names.anchor(self._cluster), self._namespace)
        while self._must_wait(left := self.pods(), give_up_at):
            if graceful:
                self.clear_away(left)
            else:
                self._kill(left)
            time.sleep(_PAUSE_S)

    def refuse_helm(self) -> None:
        """Return unless the cluster is Helm's to remove.

        Raises:
            ClipperException: it is.
        """
        anchor = self.anchor() or {"metadata": {}}
        if (anchor["metadata"].get("labels") or {}).get(_MANAGED_BY) == _HELM:
            raise ClipperException(
                f"Cluster {self._cluster} in namespace {self._namespace} was installed by Helm: "
                "remove it with `helm uninstall`, models with `clipper models rm`"
            )

    def _owned_kinds(self) -> list[tuple[str, str]]:
        """Return the kinds that a cluster may own, in the versions that are offered here."""
        budget = self.newest("PodDisruptionBudget", policies.BUDGET_VERSIONS)
        scaler = self.newest("HorizontalPodAutoscaler", policies.AUTOSCALER_VERSIONS)
        optional = [(budget, "PodDisruptionBudget"), (scaler, "HorizontalPodAutoscaler")]
        return [
            *WORKLOADS,
            *((version, kind) for version, kind in optional if version is not None),
            *([POD_MONITOR] if self.may_monitor() else []),
            ("v1", "Service"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
            (_RBAC, "RoleBinding"),
            (_RBAC, "Role"),
            ("v1", "ServiceAccount"),
            ("v1", "Secret"),
            ("v1", "ConfigMap"),
        ]

    def may_monitor(self) -> bool:
        """Return whether there is a Prometheus operator that this user may give work.

        Many who may do everything in a namespace have no rights on the operator's own kinds.
        """
        version, kind = POD_MONITOR
        group = version.partition("/")[0]
        return self._api.offers(version, kind) and self._api.may(
            "patch", "podmonitors", self._namespace, group
        )

    def newest(self, kind: str, versions: Sequence[str]) -> str | None:
        """Return the newest API version of a kind that the cluster offers; None: it has none."""
        return next((one for one in versions if self._api.offers(one, kind)), None)

    def _must_wait(self, left: Sequence[Object], give_up_at: float) -> bool:
        """Return whether there are pods left.

        Raises:
            ClipperException: there are, and the time is over.
        """
        if left and time.monotonic() >= give_up_at:
            stuck = ", ".join(str(pod["metadata"]["name"]) for pod in left)
            raise ClipperException(
                f"These pods of cluster {self._cluster} do not end: {stuck}. Look at them with "
                f"`kubectl -n {self._namespace} describe pod`"
            )
        return bool(left)

    def clear_away(self, pods: Iterable[Object]) -> None:
        """Remove those that have ended.

        Old kubelets take up to a minute to do so; until then a StatefulSet makes no new pod of
        that name, and volumes stay claimed.
        """
        self._kill(filter(has_ended, pods))

    def _kill(self, pods: Iterable[Object]) -> None:
        for pod in pods:
            self._api.delete("v1", "Pod", pod["metadata"]["name"], self._namespace, grace_s=0)


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Return whether nothing runs any more in a pod that is being deleted."""
    containers = pod.get("status", {}).get("containerStatuses") or ()
    ending = bool(pod["metadata"].get("deletionTimestamp"))
    return ending and bool(containers) and not any("running" in one["state"] for one in containers)


def _is_frontend(one: Object) -> bool:
    return one["metadata"]["labels"].get(names.ROLE_LABEL) in (names.QUERY, names.MANAGEMENT)
