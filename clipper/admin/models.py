"""Client methods about registered model versions and their replicas (spec §10.2, "Models")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clipper.admin.readiness import ready_count
from clipper.admin.session import Session
from clipper.admin.settings import ModelSettings
from clipper.datatypes import ADAPTIVE_BATCH_SIZE, CONTAINERLESS_MODEL_IMAGE
from clipper.errors import ClipperException


class ModelMethods(Session):
    """Register, look up and unregister model versions; nothing here starts a container."""

    def register_model(
        self,
        name: str,
        version: str,
        input_type: str,
        image: str | None = None,
        labels: Sequence[str] | None = None,
        batch_size: int = ADAPTIVE_BATCH_SIZE,
        *,
        batch_policy: str = "aimd",
        batch_wait_ms: float = 0.0,
        cache: bool = True,
        probe_input: object = None,
    ) -> None:
        """Register a model version, which becomes the current one at once.

        Without `image` the model is containerless: someone else runs its container. Queries go
        on to the last version that served until this one has a replica (design decision 13).

        Raises:
            ClipperException: it exists already, its type does not fit a linked application, or an
                argument is not valid.
        """
        self._require_connection()
        settings = ModelSettings(
            name,
            str(version),
            input_type,
            image or CONTAINERLESS_MODEL_IMAGE,
            tuple(labels or ()),
            batch_size,
            batch_policy,
            batch_wait_ms,
            cache,
            probe_input,
        )
        self._register(settings.checked())

    def _register(self, settings: ModelSettings) -> None:
        self._command("add_model", **settings.request())
        self.logger.info(
            f"Successfully registered model {settings.name}:{settings.version} with Clipper"
        )

    def get_current_model_version(self, name: str) -> str:
        """Return the version that operators made current; ClipperException if there is none."""
        version = self._current_version(self.get_all_models(verbose=True), name)
        if version is None:
            raise ClipperException(f"No versions of model {name} registered with Clipper")
        return version

    @staticmethod
    def _current_version(models: Sequence[Mapping[str, Any]], name: str) -> str | None:
        for model in models:
            if model["model_name"] == name and model["is_current_version"]:
                return str(model["model_version"])
        return None

    def get_all_models(self, verbose: bool = False) -> list[Any]:
        """Return ``name:version`` texts, or with `verbose` descriptions."""
        return list(self._question("get_all_models", verbose=verbose))

    def get_model_info(self, name: str, version: str) -> dict[str, Any] | None:
        """Return a version's description; None, with a warning, if it is not registered."""
        info = self._model(name, str(version))
        if info is None:
            self.logger.warning(f"Model {name}:{version} is not registered with Clipper")
        return info

    def _model(self, name: str, version: str) -> dict[str, Any] | None:
        info = self._question("get_model", model_name=name, model_version=version)
        return dict(info) if info else None

    def get_all_model_replicas(self, verbose: bool = False) -> list[Any]:
        """Return ``name:version:replica`` of every connected container, or descriptions."""
        return list(self._question("get_all_containers", verbose=verbose))

    def get_model_replica_info(
        self, name: str, version: str, replica_id: int
    ) -> dict[str, Any] | None:
        """Return a connected container's description; None, with a warning, if there is none."""
        info = self._question(
            "get_container", model_name=name, model_version=str(version), replica_id=replica_id
        )
        if not info:
            self.logger.warning(f"No replica {replica_id} of model {name}:{version} is connected")
            return None
        return dict(info)

    def get_workers(self) -> list[Any]:
        """Return the live frontend workers and the configuration revision that each applied."""
        return list(self._question("get_workers"))

    def get_autoscaling(self) -> dict[str, Any]:
        """Return whether the built-in autoscaler is on, and its last decision for each version."""
        return dict(self._question("get_autoscaling"))

    def _ready_count(self, name: str, version: str) -> int:
        containers = self.get_all_model_replicas(verbose=True)
        return ready_count(self.get_workers(), containers, name, version)

    def _point_to(self, name: str, version: str) -> None:
        self._command("set_model_version", model_name=name, model_version=version)

    def _warn_if_not_ready(self, name: str, version: str) -> None:
        if not self._ready_count(name, version):
            self.logger.warning(
                f"Version {version} of model {name} is current but has no ready replica. Queries "
                "keep going to the last version that served until it has one: "
                "call set_num_replicas to start replicas"
            )

    def _unregister_versioned_models(
        self, model_versions_dict: Mapping[str, str | Sequence[str]]
    ) -> None:
        """Unregister every given version; the first error is raised after the last attempt."""
        failure: ClipperException | None = None
        for name, version in pairs(model_versions_dict):
            try:
                self._unregister(name, version)
            except ClipperException as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _unregister(self, name: str, version: str) -> None:
        self._command("delete_versioned_model", model_name=name, model_version=version)
        self.logger.info(f"Model {name}:{version} was successfully unregistered")


def pairs(versions: Mapping[str, str | Sequence[str]]) -> list[tuple[str, str]]:
    """Return (name, version) pairs; a bare text counts as one version, never as its letters."""
    return [
        (name, str(version))
        for name, given in versions.items()
        for version in ([given] if isinstance(given, str | int) else given)
    ]
