"""Client methods that start and stop model containers (spec §10.2, "Models").

Deployments go containers → connected → registered → ready, and are undone as a whole when a step
fails (design decision 13, defect D18).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from clipper.admin.models import ModelMethods, pairs
from clipper.admin.names import check_model_name, check_model_version, check_num_replicas
from clipper.admin.packages import current_names
from clipper.admin.rollout import Rollout
from clipper.admin.settings import DEPLOY_TIMEOUT_S, ModelSettings, check_timeout
from clipper.datatypes import ADAPTIVE_BATCH_SIZE, CONTAINERLESS_MODEL_IMAGE
from clipper.errors import ClipperException


class DeploymentMethods(ModelMethods):
    """Build, deploy, scale, switch and stop model versions."""

    def build_and_deploy_model(
        self,
        name: str,
        version: str,
        input_type: str,
        model_data_path: str,
        base_image: str,
        labels: Sequence[str] | None = None,
        container_registry: str | None = None,
        num_replicas: int = 1,
        batch_size: int = ADAPTIVE_BATCH_SIZE,
        pkgs_to_install: Sequence[str] | None = None,
        *,
        batch_policy: str = "aimd",
        batch_wait_ms: float = 0.0,
        cache: bool = True,
        probe_input: object = None,
        timeout_s: float = DEPLOY_TIMEOUT_S,
    ) -> None:
        """`build_model`, then `deploy_model`; what is not valid is refused before building."""
        self._require_connection()
        settings = ModelSettings(
            name=name,
            version=str(version),
            input_type=input_type,
            labels=tuple(labels or ()),
            batch_size=batch_size,
            batch_policy=batch_policy,
            batch_wait_ms=batch_wait_ms,
            cache=cache,
            probe_input=probe_input,
        )
        with self._rollout(settings, num_replicas, timeout_s) as rollout:
            image = self.build_model(
                name, version, model_data_path, base_image, container_registry, pkgs_to_install
            )
            rollout.deploy(image)

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> str:
        """Make a deployable image of a saved model and return its name; needs no connection.

        Raises:
            ClipperException: a name that is no DNS label, or the manager cannot build it.
        """
        version = str(version)
        check_model_name(name)
        check_model_version(version)
        packages = current_names(pkgs_to_install)
        image = self.cm.build_model(
            name, version, model_data_path, base_image, container_registry, packages
        )
        self.logger.info(f"Built model image {image}")
        return image

    def deploy_model(
        self,
        name: str,
        version: str,
        input_type: str,
        image: str,
        labels: Sequence[str] | None = None,
        num_replicas: int = 1,
        batch_size: int = ADAPTIVE_BATCH_SIZE,
        *,
        batch_policy: str = "aimd",
        batch_wait_ms: float = 0.0,
        cache: bool = True,
        probe_input: object = None,
        timeout_s: float = DEPLOY_TIMEOUT_S,
    ) -> None:
        """Start containers of an image, register the version and return when it serves.

        Args:
            num_replicas: 0 registers the version without starting anything.
            batch_size: fixed size, or -1 for adaptive.
            probe_input: one input that every replica must answer before it gets queries.
            timeout_s: how long containers may take to connect and become ready, in seconds.

        Raises:
            ContainerStartError: a container does not stay up; holds its last log lines.
            ClipperException: not valid, registered already, or not ready in time. In every case
                nothing of this deployment is left behind.
        """
        self._require_connection()
        settings = ModelSettings(
            name,
            str(version),
            input_type,
            image,
            tuple(labels or ()),
            batch_size,
            batch_policy,
            batch_wait_ms,
            cache,
            probe_input,
        )
        with self._rollout(settings, num_replicas, timeout_s) as rollout:
            rollout.deploy(image)

    @contextlib.contextmanager
    def _rollout(
        self, settings: ModelSettings, num_replicas: int, timeout_s: float
    ) -> Iterator[Rollout]:
        """Check everything that can be checked before anything is built or started.

        The version is claimed meanwhile: of two clients that deploy the same one, the later is
        refused before it replaces, or in its clean-up stops, the containers of the other.
        """
        check_num_replicas(num_replicas)
        check_timeout(timeout_s)
        settings = settings.deployable()
        with self.cm.claim(settings.name, settings.version):
            self._refuse_registered(settings)
            models = self.get_all_models(verbose=True)
            previous = self._current_version(models, settings.name)
            yield Rollout(self, settings, num_replicas, timeout_s, previous)

    def _refuse_registered(self, settings: ModelSettings) -> None:
        if self._model(settings.name, settings.version) is not None:
            raise ClipperException(
                f"model with name '{settings.name}' and version '{settings.version}' already "
                "exists. Deploy under another version, or stop this one with "
                "stop_versioned_models first"
            )

    def set_model_version(self, name: str, version: str, num_replicas: int | None = None) -> None:
        """Make a registered version current, with `num_replicas` also scale it.

        Warns when the version has no ready replica: queries then stay with the last version
        that served (design decision 13).

        Raises:
            ClipperException: unknown version, or its type does not fit a linked application.
        """
        version = str(version)
        self._point_to(name, version)
        if num_replicas is not None:
            self.set_num_replicas(name, num_replicas, version)
        self._warn_if_not_ready(name, version)

    def get_num_replicas(self, name: str, version: str | None = None) -> int:
        """Return how many containers run, connected or not; None means the current version."""
        self._require_connection()
        return self.cm.get_num_replicas(name, self._version_or_current(name, version))

    def set_num_replicas(
        self,
        name: str,
        num_replicas: int,
        version: str | None = None,
        *,
        timeout_s: float = DEPLOY_TIMEOUT_S,
    ) -> None:
        """Scale a version and return when every frontend worker agrees on the number.

        Raises:
            ContainerStartError: a new container does not stay up; the old number is restored.
            ClipperException: not registered, containerless, changed by another client at this
                moment, or not in force in time.
        """
        self._require_connection()
        check_num_replicas(num_replicas)
        check_timeout(timeout_s)
        version = self._version_or_current(name, version)
        info = self._model(name, version)
        if info is None:
            raise ClipperException(
                f"Cannot add container for non-registered model {name}:{version}"
            )
        if info["container_name"] == CONTAINERLESS_MODEL_IMAGE:
            raise ClipperException(
                f"Cannot resize the replica set for containerless model {name}:{version}"
            )
        settings = ModelSettings(name, version, info["input_type"], info["container_name"])
        # Two that count the same containers and add theirs would leave too many.
        with self.cm.claim(name, version):
            Rollout(self, settings, num_replicas, timeout_s).scale()

    def set_autoscaling(
        self,
        name: str,
        min_replicas: int,
        max_replicas: int,
        version: str | None = None,
    ) -> None:
        """Let a version's number of replicas follow its load, within bounds; on Kubernetes.

        Args:
            min_replicas: 1 or more.
            max_replicas: not fewer.
            version: None means the current one.

        Raises:
            ClipperException: bounds that contradict each other, an unknown version, or a cluster
                that does not scale models.
        """
        self._require_connection()
        for number in (min_replicas, max_replicas):
            check_num_replicas(number)
        if not 1 <= min_replicas <= max_replicas:
            raise ClipperException(
                f"min_replicas must be at least 1 and max_replicas not fewer; got {min_replicas} "
                f"and {max_replicas}. A model that shall have no replica is scaled to 0"
            )
        version = self._known_version(name, version)
        self.cm.set_autoscaling(name, version, (min_replicas, max_replicas))
        self.logger.info(f"{name}:{version} has {min_replicas} to {max_replicas} replicas now")

    def stop_autoscaling(self, name: str, version: str | None = None) -> None:
        """Keep a version's number of replicas as it is now; None means the current version."""
        self._require_connection()
        self.cm.set_autoscaling(name, self._known_version(name, version), None)

    def _known_version(self, name: str, version: str | None) -> str:
        version = self._version_or_current(name, version)
        if self._model(name, version) is None:
            raise ClipperException(f"Model {name}:{version} is not registered with Clipper")
        return version

    def _version_or_current(self, name: str, version: str | None) -> str:
        return self.get_current_model_version(name) if version is None else str(version)

    def stop_models(self, model_names: Sequence[str] | str) -> None:
        """Stop and unregister all versions of the named models; unknown names are ignored."""
        self._stop(self._registered_versions(model_names))

    def stop_versioned_models(self, model_versions_dict: Mapping[str, str | Sequence[str]]) -> None:
        """Stop and unregister the given versions (model name → versions).

        Raises:
            ClipperException: a version is not registered; all others are stopped nevertheless.
        """
        self._stop(model_versions_dict)

    def stop_inactive_model_versions(self, model_names: Sequence[str] | str) -> None:
        """Stop and unregister all versions of the named models except the current ones."""
        self._stop(self._registered_versions(model_names, spare_current=True))

    def stop_all_model_containers(self) -> None:
        """Stop every model container of the cluster and unregister every model."""
        self._require_connection()
        versions = self._registered_versions()
        self.cm.stop_all_model_containers()
        self._unregister_versioned_models(versions)
        self._wait_until_gone(versions)
        self.logger.info("Stopped all Clipper model containers")

    def _registered_versions(
        self, model_names: Sequence[str] | str | None = None, spare_current: bool = False
    ) -> dict[str, list[str]]:
        wanted = {model_names} if isinstance(model_names, str) else model_names
        versions: dict[str, list[str]] = {}
        for model in self.get_all_models(verbose=True):
            chosen = wanted is None or model["model_name"] in wanted
            if chosen and not (spare_current and model["is_current_version"]):
                versions.setdefault(model["model_name"], []).append(str(model["model_version"]))
        return versions

    def _stop(self, given: Mapping[str, str | Sequence[str]]) -> None:
        self._require_connection()
        versions: dict[str, list[str]] = {}
        for name, version in pairs(given):
            versions.setdefault(name, []).append(version)
        self.cm.stop_models(versions)
        self._unregister_versioned_models(versions)
        self._wait_until_gone(versions)
        stopped = ", ".join(f"{name}:{version}" for name, version in pairs(versions))
        self.logger.info(f"Stopped all containers of these models: {stopped or 'none'}")

    def _wait_until_gone(self, versions: Mapping[str, Sequence[str]]) -> None:
        for name, version in pairs(versions):
            settings = ModelSettings(name, version, "bytes")
            Rollout(self, settings, 0, DEPLOY_TIMEOUT_S).wait_until_gone()
