"""`models autoscale`: bounds between which a version's replicas follow its load."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clipper.cli import context
from clipper.errors import ClipperException


def autoscale(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Model; none: show all decisions.")] = None,
    minimum: Annotated[int | None, typer.Option("--min", help="Fewest replicas.")] = None,
    maximum: Annotated[int | None, typer.Option("--max", help="Most replicas.")] = None,
    version: Annotated[str | None, typer.Option(help="Default: the current one.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Keep the present number.")] = False,
) -> None:
    """Let a model's replicas follow its load (Kubernetes), or show what was decided."""
    session = context.of(ctx)
    connection = session.connected()
    if name is None:
        _show(session, connection.get_autoscaling())
    elif off:
        connection.stop_autoscaling(name, version)
        session.output.done(f"The number of replicas of model {name} is fixed again")
    elif minimum is None or maximum is None:
        raise ClipperException(
            "Give both bounds, such as `clipper models autoscale digits --min 1 --max 4`, or --off"
        )
    else:
        connection.set_autoscaling(name, minimum, maximum, version)
        session.output.done(f"Model {name} has {minimum} to {maximum} replicas, by its load")


def _show(session: context.Context, found: dict[str, Any]) -> None:
    if session.output.is_json:
        session.output.json(found)
        return
    if not found["enabled"]:
        session.output.text("Autoscaling is off. `clipper --mode kubernetes up --autoscale`")
        return
    if found["fault"]:
        session.output.text(f"It cannot scale at this moment: {found['fault']}")
    session.output.table(
        "Autoscaled models",
        ("model", "bounds", "replicas", "ready", "wanted", "reason"),
        [
            (
                f"{one['model_name']}:{one['model_version']}",
                f"{one['min']}-{one['max']}",
                one["current"],
                one["ready"],
                one["wanted"],
                one["reason"],
            )
            for one in found["versions"]
        ],
    )
