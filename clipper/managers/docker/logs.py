"""Copies of container logs, one file for each container (spec §10.5)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import docker.errors
from docker.models.containers import Container

from clipper.errors import ClipperException
from clipper.managers.docker.engine import Engine, EngineAbsent

_log = logging.getLogger(__name__)

_ID_LENGTH = 12


def copy_logs(engine: Engine, containers: Iterable[Container], directory: str | Path) -> list[str]:
    """Copy what each container wrote to both outputs, whether or not it still runs.

    A log that cannot be read, as with the log driver ``none``, is told in a warning and in the
    container's file. A container that is gone by now has no file.

    Args:
        engine: the engine that the containers run on.
        containers: whose logs; also stopped ones.
        directory: made if absent; files of the same names are replaced.

    Returns:
        Absolute paths of the files, in the order of the containers.

    Raises:
        EngineAbsent: the engine stopped answering.
        OSError: the directory cannot be written.
    """
    target = Path(directory).expanduser().absolute()
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for container in containers:
        path = target / log_file_name(container)
        if _copy(engine, container, path):
            paths.append(str(path))
    return paths


def log_file_name(container: Container) -> str:
    """Return ``<name>:image_<short id>:container_<short id>.log``.

    The name in front tells replicas apart; the rest is what earlier versions called the file.
    """
    image = container.attrs.get("ImageID") or container.attrs["Image"]
    image_id = image.removeprefix("sha256:")[:_ID_LENGTH]
    container_id = str(container.attrs["Id"])[:_ID_LENGTH]
    return f"{container.name}:image_{image_id}:container_{container_id}.log"


def _copy(engine: Engine, container: Container, path: Path) -> bool:
    """Return whether there is a file now."""
    with path.open("wb") as file:
        try:
            with engine.calling(f"reading the log of container {container.name}"):
                for piece in container.logs(stream=True, follow=False):
                    file.write(piece)
        except docker.errors.NotFound:
            _log.warning("container %s was removed before its log was read", container.name)
        except EngineAbsent:
            raise
        except ClipperException as refusal:
            _log.warning("%s", refusal)
            file.write(f"{refusal}\n".encode())
            return True
        else:
            return True
    path.unlink()
    return False
