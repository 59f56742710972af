"""The containers of model versions: as many as wanted, of the build that is wanted."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

from docker.models.containers import Container

from clipper.errors import ClipperException
from clipper.managers.docker import inventory, plan
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.launch import Launcher
from clipper.managers.docker.plan import Model
from clipper.managers.docker.specs import ClusterSettings, Role

GRACE_S = 35
"""A container's own limit for draining is 30 s; the engine must not be quicker."""

NO_FRONTEND = "No Clipper query frontend to attach model container to"


@dataclasses.dataclass(frozen=True, slots=True)
class ReplicaState:
    """One container of a version, as the decision sees it."""

    container_id: str
    image_id: str
    input_type: str
    alive: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ReplicaChange:
    """How many containers to start and, once they run, which to stop."""

    start: int
    stop: tuple[str, ...]


def plan_change(found: Sequence[ReplicaState], wanted: Model, number: int) -> ReplicaChange:
    """Return the steps to ``number`` containers of the wanted build.

    Those of another build or type are replaced, never mixed; those that ended are cleared away.

    Args:
        found: newest first; the newest leave first.
    """
    kept = [
        one.container_id
        for one in found
        if one.alive and (one.image_id, one.input_type) == (wanted.image_id, wanted.input_type)
    ]
    kept = kept[-number:] if number else []
    return ReplicaChange(
        start=number - len(kept),
        stop=tuple(one.container_id for one in found if one.container_id not in kept),
    )


class Replicas:
    """Starts and stops the replicas of one cluster."""

    def __init__(self, engine: Engine, settings: ClusterSettings, launcher: Launcher) -> None:
        self._engine = engine
        self._settings = settings
        self._launcher = launcher

    def bring_to(self, model: Model, number: int, environ: Mapping[str, str] = os.environ) -> None:
        """Start or drain containers of the version until ``number`` run of this build.

        Raises:
            ClipperException: no query frontend to attach them to.
            ContainerStartError: one cannot be started; those of this call are removed again.
        """
        cluster = self._settings.cluster_name
        found = inventory.find_model(self._engine, cluster, model.name, model.version)
        change = plan_change([_state(container) for container in found], model, number)
        if change.start:
            self._start(model, change.start, environ)
        leaving = [container for container in found if container.id in change.stop]
        inventory.stop(self._engine, leaving, GRACE_S, remove=True)

    def _start(self, model: Model, number: int, environ: Mapping[str, str]) -> None:
        spec = plan.model_container(
            self._settings, model, self._image(model), self._frontend(), environ
        )
        started: list[Container] = []

        def one(_: int) -> None:
            started.append(self._launcher.launch(spec))

        try:
            inventory.in_parallel(one, range(number))
        except BaseException:
            inventory.in_parallel(lambda c: inventory.discard(self._engine, c), started)
            raise

    def _frontend(self) -> str:
        """Return the name that models dial."""
        containers = inventory.find(self._engine, self._settings.cluster_name)
        for container in inventory.of_role(inventory.alive(containers), Role.QUERY):
            return str(container.name)
        raise ClipperException(NO_FRONTEND)

    def _image(self, model: Model) -> str:
        """Return the image's name if it still means the same image, since people read it."""
        if image_id_of(self._engine, model.image) == model.image_id:
            return model.image
        return model.image_id


def image_id_of(engine: Engine, image: str) -> str | None:
    """Return the id of an image that the engine has; None: it has none of this name."""
    with engine.calling(f"looking for image {image}"):
        found = engine.client.api.images(filters={"reference": image}) if image else []
    return str(found[0]["Id"]) if found else None


def declared(containers: Sequence[Container]) -> dict[Model, list[Container]]:
    """Return the model containers by what they run; of two builds of a version, the newer is last.

    Args:
        containers: newest first.
    """
    models: dict[Model, list[Container]] = {}
    for container in reversed(inventory.of_role(containers, Role.MODEL)):
        models.setdefault(inventory.model_of(container), []).append(container)
    return models


def _state(container: Container) -> ReplicaState:
    model = inventory.model_of(container)
    return ReplicaState(
        container_id=str(container.id),
        image_id=model.image_id,
        input_type=model.input_type,
        alive=inventory.is_alive(container),
    )
