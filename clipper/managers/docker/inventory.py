"""The containers of a cluster as the engine knows them, found by their labels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import docker.errors
from docker.models.containers import Container

from clipper.managers.docker.engine import Engine
from clipper.managers.docker.plan import Model
from clipper.managers.docker.specs import IMAGE_LABEL, INPUT_TYPE_LABEL, ROLE_LABEL, Role
from clipper.managers.labels import (
    CLUSTER_LABEL,
    MODEL_LABEL,
    create_model_container_label,
    parse_model_container_label,
)

T = TypeVar("T")
R = TypeVar("R")

ALIVE = ("running", "restarting", "paused")
"""States of containers that run, or that the engine will start again by itself."""

_AT_ONCE = 4
"""Containers that are started or stopped at the same time."""


def find(engine: Engine, cluster_name: str, *, model: str | None = None) -> list[Container]:
    """Return the cluster's containers, stopped ones too, newest first.

    Args:
        model: only those with this value of `MODEL_LABEL`.
    """
    labels = [f"{CLUSTER_LABEL}={cluster_name}"]
    if model is not None:
        labels.append(f"{MODEL_LABEL}={model}")
    with engine.calling(f"listing the containers of cluster {cluster_name}"):
        found: list[Container] = engine.client.containers.list(
            all=True, filters={"label": labels}, ignore_removed=True
        )
    return found


def find_model(engine: Engine, cluster_name: str, name: str, version: str) -> list[Container]:
    """Return the containers of a model version, newest first."""
    return find(engine, cluster_name, model=create_model_container_label(name, version))


def alive(containers: Iterable[Container]) -> list[Container]:
    """Return those that run, or that the engine will start again by itself."""
    return [container for container in containers if is_alive(container)]


def is_alive(container: Container) -> bool:
    """Return whether the container runs, or will be started again by the engine."""
    return container.status in ALIVE


def of_role(containers: Iterable[Container], *roles: Role) -> list[Container]:
    """Return the containers of these roles."""
    return [c for c in containers if c.labels.get(ROLE_LABEL) in roles]


def model_of(container: Container) -> Model:
    """Return what a model container runs."""
    labels = container.labels
    name, version = parse_model_container_label(labels[MODEL_LABEL])
    return Model(
        name=name,
        version=version,
        input_type=labels.get(INPUT_TYPE_LABEL, ""),
        image=labels.get(IMAGE_LABEL, ""),
        image_id=container.attrs["Image"],
    )


def stop(engine: Engine, containers: Sequence[Container], grace_s: int, *, remove: bool) -> None:
    """Stop containers side by side and, if told so, remove them; what is gone is no error.

    Args:
        grace_s: seconds between SIGTERM and SIGKILL; 0 kills.
    """

    def one(container: Container) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            with engine.calling(f"stopping container {container.name}"):
                container.stop(timeout=grace_s)
            if remove:
                discard(engine, container)

    in_parallel(one, containers)


def discard(engine: Engine, container: Container) -> None:
    """Remove a container, running or not; one that is gone is no error."""
    with (
        contextlib.suppress(docker.errors.NotFound),
        engine.calling(f"removing container {container.name}"),
    ):
        try:
            container.remove(force=True, v=True)
        except docker.errors.APIError as error:
            if "already in progress" not in str(error.explanation):
                raise


def in_parallel(step: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Run the step for every item, a few at a time; the first failure is raised after all ended."""
    if len(items) < 2:
        return [step(item) for item in items]
    with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
        return [future.result() for future in [pool.submit(step, item) for item in items]]
