"""`policy`: selection policies, and how one did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from clipper.cli import context

group = typer.Typer(
    no_args_is_help=True,
    help="Selection policies: which there are, how one did.",
    epilog="Example: clipper policy show my-app",
)

App = Annotated[str, typer.Argument(help="Name of the application.")]

POLICY_COLUMNS = ("policy", "does", "options")
ARM_COLUMNS = ("model", "version", "asked", "share", "mean loss", "losses known", "late", "cost")


@group.command("list", epilog="Example: clipper policy list")
def list_policies(ctx: typer.Context) -> None:
    """List the policies that applications can be registered with."""
    session = context.of(ctx)
    policies = session.connected().get_policies()
    if session.output.is_json:
        session.output.json(policies)
        return
    rows = [(one["name"], one["text"], _options(one["options"])) for one in policies]
    session.output.table("Policies", POLICY_COLUMNS, rows)


def _options(schemas: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [f"{name}={schema.get('default')}" for name, schema in schemas.items()]


@group.command(epilog="Example: clipper policy show my-app")
def show(ctx: typer.Context, app: App) -> None:
    """Show an application's policy and how it did on queries that got feedback."""
    session = context.of(ctx)
    policy = session.connected().get_policy(app)
    if session.output.is_json:
        session.output.json(policy)
        return
    session.output.table(f"Policy of {app}", ("property", "value"), policy_rows(policy))
    session.output.table(
        "Models", ARM_COLUMNS, [_arm_row(arm) for arm in policy["summary"]["arms"]]
    )


def policy_rows(policy: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return what there is to say of a policy as a whole."""
    summary = policy["summary"]
    return [
        ("policy", policy["policy"]),
        ("options", [f"{name}={value}" for name, value in policy["policy_options"].items()]),
        ("labelled queries", summary["labelled"]),
        ("of these not the default", summary["answered"]),
        ("mean loss", shown(summary["mean_loss"])),
        ("best single model in hindsight", summary["best_arm"]),
        ("regret against it", shown(summary["regret"])),
        ("agreement", percent(summary["agreement"])),
        ("late members", percent(summary["late_share"])),
        ("calibration", policy["calibration"]),
        ("calibration error", shown(summary["calibration_error"])),
        ("calibration error without", shown(summary["raw_calibration_error"])),
        ("minimum confidence", policy["min_confidence"]),
        ("cost per query", shown(summary["cost_per_query"])),
    ]


def _arm_row(arm: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        arm["model"],
        arm["version"],
        arm["asked"],
        percent(arm["asked_share"]),
        shown(arm["mean_loss"]),
        arm["known_losses"],
        arm["late"],
        f"{arm['cost']:g}",
    )


def shown(number: float | None) -> str | None:
    """Return a number with four digits; None stays."""
    return None if number is None else f"{number:.4g}"


def percent(share: float | None) -> str | None:
    """Return a share as a percentage; None stays."""
    return None if share is None else f"{100 * share:.1f} %"
