"""`images`: Clipper's own images on a Docker engine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from clipper.cli import context
from clipper.cli.output import Output
from clipper.managers import stock_images

if TYPE_CHECKING:  # the Docker client takes a third of a second to import: no other command waits
    from clipper.managers.docker.images import Recipe
    from clipper.managers.docker.stock_builds import Outcome, StockImages

group = typer.Typer(
    help="Build, list, push and pull Clipper's own Docker images.",
    epilog="Example: clipper images build frontend python-closure sklearn",
    no_args_is_help=True,
)

Families = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FAMILY]...",
        help="frontend, prometheus, base, or a kind of model container: "
        f"{', '.join(stock_images.FAMILIES)}. Default: all.",
        show_default=False,
    ),
]
Python = Annotated[
    str | None,
    typer.Option(help="Python of the images, such as 3.12 (default: the one that runs this)."),
]
Registry = Annotated[str, typer.Option(help="Registry or namespace that the names begin with.")]


@group.command(
    epilog="Examples: clipper images build | clipper images build sklearn --python 3.12 | "
    "clipper images build --registry registry.example.com/ml --push"
)
def build(
    ctx: typer.Context,
    families: Families = None,
    python: Python = None,
    registry: Registry = stock_images.REGISTRY,
    push: Annotated[bool, typer.Option("--push", help="Push them to the registry, too.")] = False,
) -> None:
    """Build images from this installation; -v shows the builds' own output."""
    session = context.of(ctx)
    chosen = _recipes(families, python, registry)
    progress = Progress(session.output, session.verbose)
    images = _images(progress)
    outcomes = progress.follow("Building", "Built", images.build(chosen))
    if push:
        built = [outcome.recipe for outcome in outcomes if not outcome.error]
        outcomes += progress.follow("Pushing", "Pushed", images.push(built))
    _conclude(session.output, outcomes)


@group.command(
    epilog="Example: clipper images push frontend sklearn --registry registry.example.com/ml"
)
def push(
    ctx: typer.Context,
    families: Families = None,
    python: Python = None,
    registry: Registry = stock_images.REGISTRY,
) -> None:
    """Push images to their registry, with the credentials of `docker login`."""
    session = context.of(ctx)
    chosen = _recipes(families, python, registry)
    progress = Progress(session.output, session.verbose)
    pushes = _images(progress).push(chosen)
    _conclude(session.output, progress.follow("Pushing", "Pushed", pushes))


@group.command(
    epilog="Example: clipper images pull frontend sklearn --registry registry.example.com/ml"
)
def pull(
    ctx: typer.Context,
    families: Families = None,
    python: Python = None,
    registry: Registry = stock_images.REGISTRY,
) -> None:
    """Pull images from their registry, with the credentials of `docker login`."""
    session = context.of(ctx)
    chosen = _recipes(families, python, registry)
    progress = Progress(session.output, session.verbose)
    pulls = _images(progress).pull(chosen)
    _conclude(session.output, progress.follow("Pulling", "Pulled", pulls))


@group.command("list", epilog="Example: clipper images list")
def list_images(
    ctx: typer.Context, python: Python = None, registry: Registry = stock_images.REGISTRY
) -> None:
    """List Clipper's own images, those on the Docker engine and those to be built."""
    from clipper.managers.docker.engine import Engine
    from clipper.managers.docker.images import supported_python
    from clipper.managers.docker.stock_builds import find_images

    output = context.of(ctx).output
    chosen = supported_python(python)
    found = find_images(Engine(), chosen, registry)
    if output.is_json:
        output.json([dataclasses.asdict(one) for one in found])
        return
    rows = [
        (one.name, one.python, one.image_id, f"{one.bytes / 1e6:.0f} MB", one.created)
        if one.present
        else (one.name, one.python, "not here", None, None)
        for one in found
    ]
    output.table("Images", ("name", "Python", "id", "size", "created"), rows)


class Progress:
    """Shows what is being done: a moving line on a terminal, else a line for each image."""

    def __init__(self, output: Output, verbose: bool) -> None:
        """Begin.

        Args:
            verbose: show every line of the engine's output as well.
        """
        self._output = output
        self._verbose = verbose
        self._doing = ""
        self._now = ""
        self._show: Callable[[str], None] | None = None

    def started(self, made: Recipe, number: int, count: int) -> None:
        """An image is begun."""
        self._now = f"{self._doing} {made.tags[0]} ({number} of {count})"
        if self._show is None:
            self._output.note(self._now)
        else:
            self._show(self._now)

    def line(self, line: str) -> None:
        """The engine said something."""
        if self._verbose:
            self._output.note(line)
        elif self._show is not None:
            self._show(f"{self._now}: {line}")

    def follow(self, doing: str, done: str, outcomes: Iterator[Outcome]) -> list[Outcome]:
        """Run through the outcomes, showing each, and return them."""
        self._doing = doing
        seen = []
        with self._display():
            for outcome in outcomes:
                seen.append(outcome)
                if outcome.error:
                    self._output.error(outcome.error)
                elif not self._output.is_json:
                    names = ", ".join(outcome.recipe.tags)
                    self._output.text(f"{done} {names} in {outcome.seconds:.0f} s")
        return seen

    @contextlib.contextmanager
    def _display(self) -> Iterator[None]:
        if self._verbose or self._output.is_json or not sys.stderr.isatty():
            yield
            return
        console = Console(file=sys.stderr)
        with console.status("") as status:

            def show(text: str) -> None:
                # One line: a longer one would leave its beginnings behind.
                status.update(escape(text[: max(console.width - 4, 20)]))

            self._show = show
            try:
                yield
            finally:
                self._show = None


def _recipes(families: list[str] | None, python: str | None, registry: str) -> list[Recipe]:
    from clipper.managers.docker.images import recipes, supported_python

    return recipes(families or (), supported_python(python), registry)


def _images(progress: Progress) -> StockImages:
    from clipper.managers.docker.engine import Engine
    from clipper.managers.docker.images import Sources
    from clipper.managers.docker.stock_builds import StockImages

    return StockImages(Engine(), Sources(), os.environ, progress.started, progress.line)


def _conclude(output: Output, outcomes: list[Outcome]) -> None:
    if output.is_json:
        output.json([_as_json(outcome) for outcome in outcomes])
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "family": outcome.recipe.family,
        "names": outcome.recipe.tags,
        "python": outcome.recipe.python,
        "seconds": round(outcome.seconds, 1),
        "error": outcome.error or None,
    }
