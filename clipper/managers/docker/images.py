"""Clipper's own images: their Dockerfiles, what goes into their contexts, and their order.

A Dockerfile is the only place that says what an image holds: the context of a build is the
Dockerfile and whatever its COPY lines name.
"""

from __future__ import annotations

import dataclasses
import io
import re
import shlex
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import clipper
from clipper.errors import ClipperException
from clipper.managers import stock_images
from clipper.managers.docker.build import OnLine, build_image, log_line, pip_arguments
from clipper.managers.docker.engine import Engine

FRONTENDS = "frontend"
"""Family name of the frontends' image."""

BASE = "base"
PROMETHEUS = stock_images.PROMETHEUS_IMAGE

ALL_FAMILIES = (FRONTENDS, PROMETHEUS, BASE, *stock_images.FAMILIES)
"""Every family, in the order in which they are built: a base before what is built upon it."""


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
    registry: str
    base: str | None = None
    """Full name of the stock image that this one is built upon."""


def supported_python(python: str | None = None) -> str:
    """Return a version of Python such as ``3.12``; default: this interpreter's.

    A model's functions are pickled here and loaded in the image, so the minor versions must agree.

    Raises:
        ClipperException: there are no images of that version.
    """
    wanted = python or f"{sys.version_info.major}.{sys.version_info.minor}"
    supported = [f"3.{minor}" for minor in stock_images.SUPPORTED_MINORS]
    if wanted not in supported:
        raise ClipperException(
            f"There are no images for Python {wanted}, only for {', '.join(supported)}. "
            "Choose one with --python"
        )
    return wanted


def recipes(
    families: Iterable[str], python: str, registry: str = stock_images.REGISTRY
) -> list[Recipe]:
    """Return how the images of these families are made, in order; no families: of all there are
    for this Python.

    Raises:
        ClipperException: there is no such family, or none for this Python.
    """
    possible = [family for family in ALL_FAMILIES if _exists_for(family, python)]
    wanted = set(families) or set(possible)
    unknown = sorted(wanted.difference(ALL_FAMILIES))
    if unknown:
        raise ClipperException(
            f"There is no image family {', '.join(unknown)}: use {', '.join(ALL_FAMILIES)}"
        )
    if impossible := sorted(wanted.difference(possible)):
        raise ClipperException(
            f"{', '.join(impossible)} cannot be had for Python {python}: the framework has no "
            "packages for it. Choose another version with --python"
        )
    return [recipe(family, python, registry) for family in possible if family in wanted]


def _exists_for(family: str, python: str) -> bool:
    kind = stock_images.FAMILIES.get(family)
    return kind is None or int(python.partition(".")[2]) in kind.minors


def with_bases(chosen: Iterable[Recipe]) -> list[Recipe]:
    """Return the recipes with the bases they need, each before what is built upon it."""
    ordered: dict[tuple[str, ...], Recipe] = {}
    for one in chosen:
        if one.base is not None:
            base = recipe(BASE, one.python, one.registry)
            ordered.setdefault(base.tags, base)
        ordered.setdefault(one.tags, one)
    return list(ordered.values())


def recipe(family: str, python: str, registry: str = stock_images.REGISTRY) -> Recipe:
    """Return how the image of one family is made."""

    def name(pattern: str) -> str:
        filled = pattern.format(python=python.replace(".", ""))
        return f"{registry}/{filled}:{clipper.__version__}"

    base = None
    dockerfile = f"containers/{family}/Dockerfile"
    tags: tuple[str, ...]
    if family == FRONTENDS:
        tags = (name(stock_images.FRONTEND_IMAGE), name(stock_images.MANAGEMENT_IMAGE))
        dockerfile = "Dockerfile"
    elif family == PROMETHEUS:
        tags = (name(PROMETHEUS),)
    elif family == BASE:
        tags = (name(stock_images.BASE_IMAGE),)
    else:
        tags = (name(stock_images.FAMILIES[family].pattern),)
        base = name(stock_images.BASE_IMAGE)
    return Recipe(family, tags, dockerfile, python, registry, base)


class Sources:
    """The tree that images are made of: a checkout, or what the wheel carries."""

    def __init__(self, package: Path | None = None) -> None:
        """Find the tree.

        Args:
            package: directory of the package ``clipper``; default: the imported one.

        Raises:
            ClipperException: this installation has no Dockerfiles.
        """
        self._package = package or Path(clipper.__file__).resolve().parent
        carried = self._package / "image_sources"
        self._images = carried if carried.is_dir() else self._package.parent
        if not (self._images / "Dockerfile").is_file():
            raise ClipperException(
                f"The Clipper in {self._package} came without its Dockerfiles. Install the wheel, "
                "or a whole checkout"
            )

    def path(self, place: str) -> Path:
        """Return where the file or directory of the repository's tree is."""
        if place == "Dockerfile" or place.startswith("containers/"):
            return self._images / place
        return self._package.parent / place

    def copied(self, dockerfile: str) -> list[str]:
        """Return the sources that the COPY lines of a Dockerfile name."""
        text = self._text(dockerfile).replace("\\\n", " ")
        copied: list[str] = []
        for line in re.findall(r"^COPY\s+(.+)$", text, re.MULTILINE):
            words = [word for word in shlex.split(line) if not word.startswith("--")]
            copied += words[:-1]
        return copied

    def declared_arguments(self, dockerfile: str) -> set[str]:
        """Return the names of a Dockerfile's ARG lines."""
        return set(re.findall(r"^ARG\s+(\w+)", self._text(dockerfile), re.MULTILINE))

    def context(self, dockerfile: str) -> BinaryIO:
        """Return the build context as a tar file: the same bytes for the same content."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for place in sorted({dockerfile, *self._files(self.copied(dockerfile))}):
                _add(archive, place, self.path(place))
        buffer.seek(0)
        return buffer

    def _text(self, dockerfile: str) -> str:
        try:
            return self.path(dockerfile).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ClipperException(f"There is no {self.path(dockerfile)}") from None

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
        "VERSION": clipper.__version__,
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
        EngineAbsent: the engine does not answer.
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
