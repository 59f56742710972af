"""`apps`: applications."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from clipper.cli import context
from clipper.datatypes import OnDefault
from clipper.errors import ClipperException

group = typer.Typer(
    help="List, add, show, change and remove applications.", epilog="Example: clipper apps"
)

APP_COLUMNS = ("name", "input type", "SLO ms", "default", "models")

Name = Annotated[str, typer.Argument(help="Name of the application.")]
SloMicros = Annotated[int | None, typer.Option(help="Latency objective in microseconds instead.")]
MinConfidence = Annotated[
    float | None, typer.Option(help="From 0 to 1: less sure answers become the default.")
]
Calibration = Annotated[str | None, typer.Option(help="none, isotonic, platt or temperature.")]
Costs = Annotated[
    list[str] | None, typer.Option(help="Cost of one prediction, MODEL=NUMBER; repeatable.")
]


@group.callback(invoke_without_command=True)
def list_apps(ctx: typer.Context) -> None:
    """List, add, show, change and remove applications."""
    if ctx.invoked_subcommand is not None:
        return
    session = context.of(ctx)
    apps = session.connected().get_all_apps(verbose=True)
    if session.output.is_json:
        session.output.json(apps)
        return
    session.output.table(
        "Applications",
        APP_COLUMNS,
        app_rows(apps),
    )


def app_rows(apps: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Return table rows for `APP_COLUMNS`."""
    return [
        (
            one["name"],
            one["input_type"],
            f"{one['latency_slo_micros'] / 1000:g}",
            one["default_output"],
            one["linked_models"],
        )
        for one in sorted(apps, key=lambda one: str(one["name"]))
    ]


@group.command(epilog="Example: clipper apps add my-app --input-type doubles --slo-ms 100")
def add(
    ctx: typer.Context,
    name: Name,
    input_type: Annotated[
        str, typer.Option(help="bytes, integers, floats, doubles or strings.")
    ] = "doubles",
    default: Annotated[
        str, typer.Option(help="Output when there is no prediction in time.")
    ] = "None",
    slo_ms: Annotated[
        float | None, typer.Option(help="Latency objective in milliseconds (default 3000).")
    ] = None,
    slo_micros: SloMicros = None,
    on_default: Annotated[
        OnDefault, typer.Option(help="Answer 200 with the default output, or an error.")
    ] = OnDefault.OUTPUT,
    policy: Annotated[
        str | None, typer.Option(help="Selection policy; `clipper policy list` shows them.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Option of the policy, NAME=VALUE; repeatable.")
    ] = None,
    min_confidence: MinConfidence = None,
    calibration: Calibration = None,
    loss: Annotated[
        str | None, typer.Option(help="What labels mean: zero-one, absolute or squared.")
    ] = None,
    loss_scale: Annotated[
        float | None, typer.Option(help="Distance from the label that is wholly wrong.")
    ] = None,
    cost: Costs = None,
) -> None:
    """Register an application."""
    session = context.of(ctx)
    micros = choose_slo_micros(slo_ms, slo_micros)
    connection = session.connected()
    connection.register_application(
        name,
        input_type,
        default,
        micros,
        on_default=on_default,
        policy=policy,
        policy_options=named_values("--option", option or ()) or None,
        min_confidence=min_confidence,
        calibration=calibration,
        loss=loss,
        loss_scale=loss_scale,
        costs=named_values("--cost", cost or ()) or None,
    )
    session.output.done(
        f"Registered application {name}: http://{connection.get_query_addr()}/{name}/predict"
    )


@group.command(epilog='Example: clipper apps update my-app --option \'weights={"old":9,"new":1}\'')
def update(
    ctx: typer.Context,
    name: Name,
    default: Annotated[
        str | None, typer.Option(help="Output when there is no prediction in time.")
    ] = None,
    slo_ms: Annotated[float | None, typer.Option(help="Latency objective in milliseconds.")] = None,
    slo_micros: SloMicros = None,
    on_default: Annotated[
        OnDefault | None, typer.Option(help="Answer 200 with the default output, or an error.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Another selection policy, with its default options.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="Option to change, NAME=VALUE; null: the default; repeatable."),
    ] = None,
    min_confidence: MinConfidence = None,
    calibration: Calibration = None,
    cost: Costs = None,
) -> None:
    """Change settings of an application; what is not given stays, and so does what it learned."""
    session = context.of(ctx)
    micros = None
    if slo_ms is not None or slo_micros is not None:
        micros = choose_slo_micros(slo_ms, slo_micros)
    session.connected().update_application(
        name,
        slo_micros=micros,
        default_output=default,
        on_default=on_default,
        policy=policy,
        policy_options=named_values("--option", option or ()) or None,
        min_confidence=min_confidence,
        calibration=calibration,
        costs=named_values("--cost", cost or ()) or None,
    )
    session.output.done(f"Changed application {name}")


def named_values(flag: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Return ``NAME=VALUE`` pairs as a dict; values are JSON, or else text.

    Raises:
        ClipperException: one has no ``=``.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise ClipperException(f"{flag} {pair}: write NAME=VALUE, e.g. {flag} epsilon=0.1")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def choose_slo_micros(slo_ms: float | None, slo_micros: int | None) -> int:
    """Return the objective in microseconds; ClipperException when both are given."""
    if slo_ms is not None and slo_micros is not None:
        raise ClipperException("Give --slo-ms or --slo-micros, not both")
    if slo_micros is not None:
        return slo_micros
    return round((3000.0 if slo_ms is None else slo_ms) * 1000)


@group.command(epilog="Example: clipper apps rm my-app")
def rm(ctx: typer.Context, name: Name) -> None:
    """Remove an application and its links."""
    session = context.of(ctx)
    session.connected().unregister_application(name)
    session.output.done(f"Removed application {name}")


@group.command(epilog="Example: clipper apps show my-app")
def show(ctx: typer.Context, name: Name) -> None:
    """Show one application."""
    session = context.of(ctx)
    info = session.connected().get_app_info(name)
    if info is None:
        raise ClipperException(
            f"There is no application {name}. `clipper apps` lists them, `clipper apps add` "
            "registers one"
        )
    if session.output.is_json:
        session.output.json(info)
    else:
        session.output.table(f"Application {name}", ("property", "value"), list(info.items()))
