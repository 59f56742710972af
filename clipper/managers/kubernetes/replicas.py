"""The Deployments of model versions: making, scaling, removing them, and bringing them back."""

from __future__ import annotations

import logging
import os

from clipper.errors import ClipperException, ContainerStartError
from clipper.managers.kubernetes import memory, models, names, policies
from clipper.managers.kubernetes.api import KubernetesApi, Object
from clipper.managers.kubernetes.inventory import Inventory
from clipper.managers.kubernetes.models import Model
from clipper.managers.kubernetes.settings import KubernetesSettings

_KIND = ("apps/v1", "Deployment")

_log = logging.getLogger(__name__)


class Replicas:
    """The models of one cluster."""

    def __init__(
        self, api: KubernetesApi, settings: KubernetesSettings, inventory: Inventory
    ) -> None:
        self._api = api
        self._settings = settings
        self._inventory = inventory

    def find(self, name: str, version: str) -> Object | None:
        """Return the Deployment of a version; None: it has none."""
        found = names.model_deployment(name, version, self._settings.cluster_name)
        return self._api.get(*_KIND, found, self._settings.namespace)

    def apply(self, model: Model, num_replicas: int) -> None:
        """Make the version's Deployment, or change the one that there is, pod by pod.

        Raises:
            ClipperException: the cluster does not run.
            ContainerStartError: the API server refused.
        """
        owner = self._inventory.anchor()
        if owner is None:
            raise ClipperException("No Clipper query frontend to attach model container to")
        deployment = models.model_deployment(self._settings, model, num_replicas, os.environ)
        objects = [deployment]
        if (version := self._budget_version()) is not None:
            name = deployment["metadata"]["name"]
            objects.append(policies.model_budget(self._settings, version, model.label, name))
        try:
            for one in objects:
                self._inventory.refuse_foreign(one)
            self._inventory.apply(objects, owner)
        except ClipperException as error:
            raise ContainerStartError(
                f"Could not create a Kubernetes deployment. Model: {model.name}:{model.version}. "
                f"{error}"
            ) from error

    def bring_to(self, model: Model, num_replicas: int) -> None:
        """Change the number of pods, of the image that runs if one does; those that leave drain."""
        found = self.find(model.name, model.version)
        if found is not None:
            self._change(found, {"spec": {"replicas": num_replicas}})
        elif num_replicas:
            self.apply(model, num_replicas)

    def set_bounds(self, name: str, version: str, bounds: tuple[int, int] | None) -> None:
        """Say between what bounds the autoscaler keeps a version; None: it leaves it alone.

        Raises:
            ClipperException: autoscaling is off, or nothing of the version was ever started.
        """
        if bounds is not None and not self._settings.autoscale_models:
            raise ClipperException(
                "This cluster does not scale models. Turn it on, without losing a query: "
                "start_clipper with autoscale_models=True, or `clipper up --autoscale`"
            )
        found = self.find(name, version)
        if found is None:
            raise ClipperException(f"No container of model {name}:{version} was ever started here.")
        self._change(found, {"metadata": {"annotations": models.bounds_annotations(bounds)}})

    def remove(self, deployment: Object) -> None:
        """Remove a version's Deployment, whose pods drain, and its disruption budget."""
        place, name = self._settings.namespace, deployment["metadata"]["name"]
        if (version := self._budget_version()) is not None:
            self._api.delete(version, "PodDisruptionBudget", name, place)
        self._api.delete(*_KIND, name, place)

    def restore(self) -> None:
        """Run the models that ran when the cluster was last stopped; failures are warnings."""
        for one in memory.kept(self._api, self._settings):
            model = one.model
            try:
                self.apply(model, one.num_replicas)
                if one.bounds is not None and self._settings.autoscale_models:
                    self.set_bounds(model.name, model.version, one.bounds)
            except ClipperException as error:
                _log.warning(
                    "[%s] model %s:%s of an earlier run is not started: %s",
                    self._settings.cluster_name, model.name, model.version, error,
                )  # fmt: skip
        memory.forget(self._api, self._settings)

    def _change(self, deployment: Object, change: Object) -> None:
        name = deployment["metadata"]["name"]
        self._api.patch(*_KIND, name, self._settings.namespace, change)

    def _budget_version(self) -> str | None:
        return self._inventory.newest("PodDisruptionBudget", policies.BUDGET_VERSIONS)
