"""Clipper's own images: their Dockerfiles, what goes into their contexts, and their order.

A Dockerfile is the only place that says what an image holds: the context of a build is the
Dockerfile and whatever its COPY lines name.
"""

from __future__ import annotations

import dataclasses
import io
import re
import shlex
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import clipper
from clipper.managers import stock_images
from clipper.managers.docker.build import OnLine, build_image, log_line, pip_arguments
from clipper.managers.docker.engine import Engine

DEFAULT_PYTHON = "3.11"
FRONTENDS = "frontend"
"""Family name of the frontends' image."""
BASE = "base"
PROMETHEUS = stock_images.PROMETHEUS_IMAGE


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """How one stock image is made."""

    family: str
    """A name of `stock_images.FAMILIES`, or ``frontend``, ``base``, ``prometheus``."""
    tags: tuple[str, ...]
    """Full names; all of the same image."""
    dockerfile: str
    """Place below the source tree."""
    python: str
    """Such as ``3.11``."""
    base: str | None = None
    """Full name of the stock image that this one is built upon."""


def recipe(
    family: str, python: str = DEFAULT_PYTHON, registry: str = stock_images.REGISTRY
) -> Recipe:
    """Return how the image of a family is made."""

    def name(pattern: str) -> str:
        digits = python.replace(".", "")
        return f"{registry}/{pattern.format(python=digits)}:{clipper.__version__}"

    if family == FRONTENDS:
        tags = (name(stock_images.FRONTEND_IMAGE), name(stock_images.MANAGEMENT_IMAGE))
        return Recipe(family, tags, "Dockerfile", python)
    dockerfile = f"containers/{family}/Dockerfile"
    if family == PROMETHEUS:
        return Recipe(family, (name(PROMETHEUS),), dockerfile, python)
    base = name(stock_images.BASE_IMAGE)
    if family == BASE:
        return Recipe(family, (base,), dockerfile, python)
    pattern = stock_images.FAMILIES[family].pattern
    return Recipe(family, (name(pattern),), dockerfile, python, base)


class Sources:
    """The tree that images are made of: a checkout, or what the wheel carries."""

    def __init__(self, package: Path | None = None) -> None:
        """Find the tree.

        Args:
            package: directory of the package ``clipper``; default: the imported one.
        """
        self._package = package or Path(clipper.__file__).resolve().parent
        carried = self._package / "image_sources"
        self._images = carried if carried.is_dir() else self._package.parent

    def path(self, place: str) -> Path:
        """Return where the file or directory of the repository's tree is."""
        if place == "Dockerfile" or place.startswith("containers/"):
            return self._images / place
        return self._package.parent / place

    def copied(self, dockerfile: str) -> list[str]:
        """Return the sources that the COPY lines of a Dockerfile name."""
        text = self.path(dockerfile).read_text(encoding="utf-8").replace("\\\n", " ")
        copied: list[str] = []
        for line in re.findall(r"^COPY\s+(.+)$", text, re.MULTILINE):
            words = [word for word in shlex.split(line) if not word.startswith("--")]
            copied += words[:-1]
        return copied

    def declared_arguments(self, dockerfile: str) -> set[str]:
        """Return the names of a Dockerfile's ARG lines."""
        text = self.path(dockerfile).read_text(encoding="utf-8")
        return set(re.findall(r"^ARG\s+(\w+)", text, re.MULTILINE))

    def context(self, dockerfile: str) -> BinaryIO:
        """Return the build context as a tar file: the same bytes for the same content."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for place in sorted({dockerfile, *self._files(self.copied(dockerfile))}):
                _add(archive, place, self.path(place))
        buffer.seek(0)
        return buffer

    def _files(self, places: Sequence[str]) -> Iterator[str]:
        for place in places:
            path = self.path(place)
            if not path.is_dir():
                yield place
                continue
            for found in path.rglob("*"):
                if found.is_file() and "__pycache__" not in found.parts:
                    yield f"{place.rstrip('/')}/{found.relative_to(path).as_posix()}"


def _add(archive: tarfile.TarFile, place: str, path: Path) -> None:
    content = path.read_bytes()
    entry = tarfile.TarInfo(place)
    entry.size = len(content)
    # Times, owners and modes of this machine would make every user's layers differ.
    entry.mode = 0o644
    archive.addfile(entry, io.BytesIO(content))


def build_arguments(
    made: Recipe, sources: Sources, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the values of the ARG lines that the recipe's Dockerfile has."""
    values = {
        **pip_arguments(environment),
        "PYTHON": made.python,
        "CLIPPER_VERSION": clipper.__version__,
    }
    if made.base is not None:
        values["BASE"] = made.base
    declared = sources.declared_arguments(made.dockerfile)
    return {name: value for name, value in values.items() if name in declared}


def build_stock_image(
    engine: Engine,
    made: Recipe,
    sources: Sources,
    environment: Mapping[str, str],
    on_line: OnLine = log_line,
) -> str:
    """Build one stock image, give it all its names, and return its id.

    Raises:
        BuildFailed: a step failed.
    """
    image_id = build_image(
        engine,
        sources.context(made.dockerfile),
        made.tags[0],
        dockerfile=made.dockerfile,
        build_args=build_arguments(made, sources, environment),
        on_line=on_line,
    )
    for name in made.tags[1:]:
        repository, _, tag = name.rpartition(":")
        with engine.calling(f"naming image {name}"):
            engine.client.images.get(image_id).tag(repository, tag)
    return image_id
