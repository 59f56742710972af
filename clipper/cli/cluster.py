"""`up`, `down`, `status`: the cluster as a whole."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clipper.admin.connection import ClipperConnection
from clipper.cli import context
from clipper.cli.apps import APP_COLUMNS, app_rows
from clipper.cli.models import MODEL_COLUMNS, model_rows, model_summaries
from clipper.cli.output import Output
from clipper.cli.starting import addresses, manifests, up


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog="Example: clipper up --workers 2")(up)
    app.command(epilog="Example: clipper down --purge")(down)
    app.command(epilog="Example: clipper --mode kubernetes manifests --no-storage")(manifests)
    app.command(epilog="Example: clipper status -o json")(status)


def down(
    ctx: typer.Context,
    now: Annotated[bool, typer.Option(help="Kill; queries in flight are lost.")] = False,
    purge: Annotated[
        bool, typer.Option(help="Also delete applications, models and logs for good.")
    ] = False,
) -> None:
    """Stop the cluster; `up` brings it back as it was."""
    session = context.of(ctx)
    connection = session.connection()
    with session.output.progress(f"Stopping cluster {session.choice.name}"):
        connection.stop_all(graceful=not now)
        if purge:
            connection.cm.delete_state()
    purged = " and its state was deleted" if purge else ""
    session.output.done(f"Cluster {session.choice.name} is stopped{purged}")


def status(ctx: typer.Context) -> None:
    """Show processes, applications, models, replicas and workers."""
    session = context.of(ctx)
    connection = session.connected()
    report = _report(connection)
    if session.output.is_json:
        session.output.json({"cluster": session.choice.name, **report})
    else:
        _print_report(session.output, report)


def _report(connection: ClipperConnection) -> dict[str, Any]:
    workers = connection.get_workers()
    return {
        **addresses(connection),
        "processes": connection.cm.status(),
        "applications": connection.get_all_apps(verbose=True),
        "models": model_summaries(connection, workers),
        "replicas": connection.get_all_model_replicas(verbose=True),
        "workers": workers,
    }


def _print_report(output: Output, report: dict[str, Any]) -> None:
    output.text(
        f"Predictions http://{report['query_address']}  "
        f"management http://{report['management_address']}"
    )
    children = report["processes"].get("children", [])
    output.table(
        "Processes",
        ("process", "pid", "state", "restarts"),
        [(f"{c['role']} #{c['index']}", c["pid"], c["state"], c["restarts"]) for c in children],
    )
    output.table(
        "Applications",
        APP_COLUMNS,
        app_rows(report["applications"]),
    )
    output.table("Models", MODEL_COLUMNS, model_rows(report["models"]))
    output.table(
        "Frontend workers",
        ("worker", "model RPC address", "revision", "replicas"),
        [
            (w["worker_id"], w["rpc_address"], w["applied_revision"], w["replicas"])
            for w in report["workers"]
        ],
    )
