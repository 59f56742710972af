"""Building a model's own image out of a base image, its packages and its data (spec §10.3)."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import docker.errors

from clipper.artifacts import CONSTRAINTS_FILE, FUNCTION_FILE, REQUIREMENTS_FILE
from clipper.errors import ClipperException
from clipper.managers.docker.build import build_image, ensure_image, pip_arguments, push_image
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.model_image import (
    ENVIRONMENT_DIR,
    IMAGE_CLUSTER_LABEL,
    IMAGE_MODEL_LABEL,
    MODEL_DIR,
    BaseImage,
    check_python,
    dockerfile,
    image_name,
)
from clipper.managers.labels import create_model_container_label
from clipper.managers.stock_images import PYTHON_LABEL

_IN_MEMORY = 32 * 2**20
"""Bytes of a build context that are kept in memory; a larger one goes to a temporary file."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ModelSource:
    """What a model's image is made of."""

    name: str
    version: str
    data_path: str
    base_image: str
    registry: str | None = None
    """Where to push the image; None: nowhere (design A23)."""
    packages: Sequence[str] | None = None
    """Requirement lines instead of the detected ones."""


def build_model_image(engine: Engine, cluster: str, source: ModelSource) -> str:
    """Build the image, push it if there is a registry, and return its name.

    Raises:
        ClipperException: no such directory or base image, or another Python than here.
        BuildFailed: a step failed; holds pip's lines.
        TransferFailed: the push failed.
    """
    label = create_model_container_label(source.name, source.version)
    image = image_name(cluster, source.registry, source.name, source.version)
    data = Path(source.data_path).expanduser()
    if not data.is_dir():
        raise ClipperException(f"The model data path {data} is not a directory.")
    base = _examine(engine, source.base_image)
    if (data / FUNCTION_FILE).exists():
        check_python(base, f"{sys.version_info.major}.{sys.version_info.minor}")
    environment = _environment(data, source.packages)
    text = dockerfile(
        base,
        {IMAGE_CLUSTER_LABEL: cluster, IMAGE_MODEL_LABEL: label},
        installs=REQUIREMENTS_FILE in environment,
        constrained=CONSTRAINTS_FILE in environment,
    )
    pip = pip_arguments() if environment else {}
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as context:
        write_context(cast(BinaryIO, context), text, environment, data)
        build_image(engine, cast(BinaryIO, context), image, build_args=pip)
    if source.registry:
        push_image(engine, image)
    return image


def write_context(file: BinaryIO, text: str, environment: dict[str, str], data: Path) -> None:
    """Write the build context as a tar file, and go back to its beginning.

    Symbolic links become what they point to, since that need not lie inside the directory.

    Raises:
        ClipperException: a file of the model cannot be read.
    """
    with tarfile.open(fileobj=file, mode="w", dereference=True) as archive:
        _add_text(archive, "Dockerfile", text)
        for name, content in environment.items():
            _add_text(archive, f"{ENVIRONMENT_DIR}/{name}", content)
        try:
            archive.add(data, MODEL_DIR, filter=_readable)
        except OSError as error:
            raise ClipperException(f"The model's data cannot be read: {error}") from error
    file.seek(0)


def remove_model_images(engine: Engine, cluster: str) -> None:
    """Remove the images that were built for models of the cluster, and are not in use elsewhere."""
    with engine.calling("listing images"):
        images = engine.client.api.images(filters={"label": f"{IMAGE_CLUSTER_LABEL}={cluster}"})
    for image in images:
        try:
            with (
                contextlib.suppress(docker.errors.NotFound),
                engine.calling(f"removing image {image['RepoTags'] or image['Id']}"),
            ):
                engine.client.images.remove(image["Id"], force=True)
        except ClipperException as error:
            _log.warning("[%s] %s", cluster, error)


def _examine(engine: Engine, name: str) -> BaseImage:
    image_id = ensure_image(engine, name)
    with engine.calling(f"looking at image {name}"):
        configuration = engine.client.images.get(image_id).attrs["Config"]
    labels = configuration.get("Labels") or {}
    return BaseImage(name, configuration.get("User") or "", labels.get(PYTHON_LABEL, ""))


def _environment(data: Path, packages: Sequence[str] | None) -> dict[str, str]:
    """Return the files that pip installs from; none: nothing is installed."""
    if packages is not None:
        lines = [line for line in packages if line.strip()]
        if broken := [line for line in lines if "\n" in line or line.lstrip().startswith("-")]:
            raise ClipperException(
                f"{broken[0]!r} in pkgs_to_install is not a requirement such as 'scipy==1.14.*'"
            )
        return {REQUIREMENTS_FILE: "\n".join(lines) + "\n"} if lines else {}
    if not _lines(data / REQUIREMENTS_FILE):
        return {}
    files = {name: _lines(data / name) for name in (REQUIREMENTS_FILE, CONSTRAINTS_FILE)}
    return {name: "\n".join(lines) + "\n" for name, lines in files.items() if lines}


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if line.partition("#")[0].strip()]


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))


def _readable(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave this machine's owners and modes out: equal data shall give equal layers."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry
