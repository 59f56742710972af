"""Building, pushing, pulling and listing several of Clipper's own images at once."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import docker.errors

from clipper.errors import ClipperException
from clipper.managers import stock_images
from clipper.managers.docker.build import OnLine, pull_image, push_image
from clipper.managers.docker.engine import Engine, EngineAbsent
from clipper.managers.docker.images import (
    Recipe,
    Sources,
    build_stock_image,
    recipes,
    with_bases,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image."""

    recipe: Recipe
    seconds: float
    error: str = ""
    """Empty: it was done."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One name of a stock image, and what the engine has under it."""

    name: str
    family: str
    python: str
    present: bool
    image_id: str = ""
    bytes: int = 0
    created: str = ""
    """As the engine writes it, in UTC."""


OnStart = Callable[[Recipe, int, int], None]
"""Called before each image with its recipe, its number from 1, and how many there are."""


@dataclasses.dataclass(frozen=True, slots=True)
class StockImages:
    """Clipper's own images on one engine."""

    engine: Engine
    sources: Sources
    environment: Mapping[str, str]
    """Of the client: settings of pip are taken over into builds."""
    on_start: OnStart
    on_line: OnLine

    def build(self, chosen: Sequence[Recipe]) -> Iterator[Outcome]:
        """Build images and the bases they need, and yield each outcome as it is known.

        A failure does not keep the others from being built, but for what is built upon it.

        Raises:
            EngineAbsent: the engine does not answer any more.
        """
        ordered = with_bases(chosen)
        failed: set[str] = set()
        for number, made in enumerate(ordered, 1):
            self.on_start(made, number, len(ordered))
            if made.base in failed:
                yield Outcome(made, 0.0, f"{made.tags[0]} needs {made.base}, which failed")
                continue
            outcome = _timed(made, self._build_one)
            if outcome.error:
                failed.update(made.tags)
            yield outcome

    def push(self, chosen: Sequence[Recipe]) -> Iterator[Outcome]:
        """Push images under all their names, and yield each outcome."""
        return self._move(chosen, push_image)

    def pull(self, chosen: Sequence[Recipe]) -> Iterator[Outcome]:
        """Pull images under all their names, and yield each outcome."""
        return self._move(chosen, pull_image)

    def _build_one(self, made: Recipe) -> None:
        build_stock_image(self.engine, made, self.sources, self.environment, self.on_line)

    def _move(self, chosen: Sequence[Recipe], transfer: Callable[..., object]) -> Iterator[Outcome]:
        def move_one(made: Recipe) -> None:
            for name in made.tags:
                transfer(self.engine, name, on_line=self.on_line)

        for number, made in enumerate(chosen, 1):
            self.on_start(made, number, len(chosen))
            yield _timed(made, move_one)


def _timed(made: Recipe, step: Callable[[Recipe], None]) -> Outcome:
    begun = time.monotonic()
    try:
        step(made)
    except EngineAbsent:
        raise
    except ClipperException as error:
        return Outcome(made, time.monotonic() - begun, error.msg)
    return Outcome(made, time.monotonic() - begun)


def find_images(engine: Engine, python: str, registry: str = stock_images.REGISTRY) -> list[Found]:
    """Return the stock images for a version of Python, present or not, and others that are here.

    Raises:
        EngineAbsent: the engine does not answer.
    """
    versions = [python, *(f"3.{minor}" for minor in stock_images.SUPPORTED_MINORS)]
    found: dict[str, Found] = {}
    for version in versions:
        for made in recipes((), version, registry):
            for name in made.tags:
                if name not in found:
                    found[name] = _look(engine, name, made)
    return [one for one in found.values() if one.present or one.python == python]


def _look(engine: Engine, name: str, made: Recipe) -> Found:
    with contextlib.suppress(docker.errors.NotFound), engine.calling(f"looking for image {name}"):
        attributes: dict[str, Any] = engine.client.images.get(name).attrs
        labels = attributes.get("Config", {}).get("Labels") or {}
        return Found(
            name,
            made.family,
            labels.get(stock_images.PYTHON_LABEL, ""),
            present=True,
            image_id=attributes["Id"].removeprefix("sha256:")[:12],
            bytes=attributes["Size"],
            created=attributes["Created"][:19],
        )
    return Found(name, made.family, made.python, present=False)
