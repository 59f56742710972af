"""`models`, `link`, `unlink`, `scale`, `rollback`: registered model versions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from clipper.admin.connection import ClipperConnection
from clipper.admin.readiness import connected_count, ready_count
from clipper.cli import context
from clipper.cli.autoscaling import autoscale
from clipper.errors import ClipperException

group = typer.Typer(help="List, show, switch and remove models.", epilog="Example: clipper models")

Name = Annotated[str, typer.Argument(help="Name of the model.")]

MODEL_COLUMNS = ("model", "version", "current", "input type", "running", "connected", "ready")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands outside the group."""
    app.command(epilog="Example: clipper link my-app my-model")(link)
    app.command(epilog="Example: clipper unlink my-app my-model")(unlink)
    app.command(epilog="Example: clipper scale my-model 3")(scale)
    app.command(epilog="Example: clipper rollback my-model")(rollback)


def model_summaries(
    connection: ClipperConnection, workers: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return every version's description with its numbers of replicas."""
    containers = connection.get_all_model_replicas(verbose=True)
    models = connection.get_all_models(verbose=True)
    return [
        {
            **model,
            "replicas_running": connection.get_num_replicas(*_id(model)),
            "replicas_connected": connected_count(containers, *_id(model)),
            "replicas_ready": ready_count(workers, containers, *_id(model)),
        }
        for model in sorted(models, key=lambda m: (m["model_name"], natural(_id(m)[1])))
    ]


def _id(model: Mapping[str, Any]) -> tuple[str, str]:
    return model["model_name"], str(model["model_version"])


def model_rows(summaries: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Return table rows for `MODEL_COLUMNS`."""
    return [
        (
            *_id(one),
            one["is_current_version"],
            one["input_type"],
            one["replicas_running"],
            one["replicas_connected"],
            one["replicas_ready"],
        )
        for one in summaries
    ]


def natural(version: str) -> tuple[tuple[int, int | str], ...]:
    """Return a sort key under which version 10 comes after version 9."""
    parts = re.findall(r"\d+|\D+", version)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)


@group.callback(invoke_without_command=True)
def list_models(ctx: typer.Context) -> None:
    """List, show, switch and remove models."""
    if ctx.invoked_subcommand is not None:
        return
    session = context.of(ctx)
    connection = session.connected()
    summaries = model_summaries(connection, connection.get_workers())
    if session.output.is_json:
        session.output.json(summaries)
    else:
        session.output.table("Models", MODEL_COLUMNS, model_rows(summaries))


@group.command(epilog="Example: clipper models show my-model --version 2")
def show(
    ctx: typer.Context,
    name: Name,
    version: Annotated[str | None, typer.Option(help="Default: the current one.")] = None,
) -> None:
    """Show one version of a model."""
    session = context.of(ctx)
    connection = session.connected()
    if version is None:
        version = connection.get_current_model_version(name)
    found = [
        one
        for one in model_summaries(connection, connection.get_workers())
        if _id(one) == (name, version)
    ]
    if not found:
        raise ClipperException(f"There is no model {name}:{version}. `clipper models` lists them")
    if session.output.is_json:
        session.output.json(found[0])
    else:
        title = f"Model {name}:{version}"
        session.output.table(title, ("property", "value"), list(found[0].items()))


@group.command(epilog="Example: clipper models rm my-model:1")
def rm(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="What to remove.")],
) -> None:
    """Stop and unregister a version, or all versions of a model."""
    session = context.of(ctx)
    connection = session.connected()
    name, _, version = model.partition(":")
    known = [_id(one) for one in connection.get_all_models(verbose=True)]
    chosen = [v for n, v in known if n == name and version in ("", v)]
    if not chosen:
        raise ClipperException(f"There is no model {model}. `clipper models` lists them")
    with session.output.progress(f"Stopping {model}"):
        connection.stop_versioned_models({name: chosen})
    session.output.done(f"Removed {', '.join(f'{name}:{v}' for v in chosen)}")


@group.command(epilog="Example: clipper models use my-model 2")
def use(
    ctx: typer.Context,
    name: Name,
    version: Annotated[str, typer.Argument(help="Version to make current.")],
) -> None:
    """Make a version current."""
    session = context.of(ctx)
    connection = session.connected()
    connection.set_model_version(name, version)
    _done_switching(session, connection, name, version)


group.command(epilog="Example: clipper models autoscale digits --min 1 --max 4")(autoscale)
group.command("set-version", hidden=True, epilog="Example: clipper models use my-model 2")(use)


def link(
    ctx: typer.Context,
    app: Annotated[str, typer.Argument(help="Name of the application.")],
    model: Name,
) -> None:
    """Send an application's queries to a model."""
    session = context.of(ctx)
    session.connected().link_model_to_app(app, model)
    session.output.done(f"Application {app} now asks model {model}")


def unlink(
    ctx: typer.Context,
    app: Annotated[str, typer.Argument(help="Name of the application.")],
    model: Name,
) -> None:
    """Undo a link."""
    session = context.of(ctx)
    session.connected().unlink_model_from_app(app, model)
    session.output.done(f"Application {app} no longer asks model {model}")


def scale(
    ctx: typer.Context,
    name: Name,
    replicas: Annotated[int, typer.Argument(min=0, help="How many containers to run.")],
    version: Annotated[str | None, typer.Option(help="Default: the current one.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for them.")] = 120.0,
) -> None:
    """Run more or fewer containers of a model."""
    session = context.of(ctx)
    connection = session.connected()
    with session.output.progress(f"Scaling {name} to {replicas}"):
        connection.set_num_replicas(name, replicas, version, timeout_s=timeout)
    session.output.done(f"Model {name} now has {replicas} replicas")


def rollback(
    ctx: typer.Context,
    name: Name,
    version: Annotated[
        str | None, typer.Argument(help="Default: the one registered before the current one.")
    ] = None,
) -> None:
    """Make an earlier version current again."""
    session = context.of(ctx)
    connection = session.connected()
    if version is None:
        version = previous_version(connection.get_all_models(verbose=True), name)
    connection.set_model_version(name, version)
    _done_switching(session, connection, name, version)


def previous_version(models: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the version registered last before the current one.

    Raises:
        ClipperException: there is no such model, no current version, or no earlier one.
    """
    versions = sorted((one for one in models if one["model_name"] == name), key=_age)
    ids = [str(one["model_version"]) for one in versions]
    current = [i for i, one in enumerate(versions) if one["is_current_version"]]
    if not ids:
        raise ClipperException(f"There is no model {name}. `clipper models` lists them")
    if not current or current[0] == 0:
        raise ClipperException(
            f"Model {name} has no version from before its current one. Name one: "
            f"`clipper rollback {name} VERSION`; it has {', '.join(ids)}"
        )
    return ids[current[0] - 1]


def _age(model: Mapping[str, Any]) -> int:
    return int(model["generation"])


def _done_switching(
    session: context.Context, connection: ClipperConnection, name: str, version: str
) -> None:
    containers = connection.get_all_model_replicas(verbose=True)
    if not ready_count(connection.get_workers(), containers, name, version):
        session.output.note(
            f"Warning: {name}:{version} has no ready replica; queries stay with the version that "
            f"served last. Start one: clipper scale {name} 1 --version {version}"
        )
    session.output.done(f"Version {version} of model {name} is now current")
