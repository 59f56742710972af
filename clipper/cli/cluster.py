"""`up`, `down`, `status`: the cluster as a whole."""

from __future__ import annotations

import signal
import threading
from typing import Annotated, Any

import typer

from clipper.admin.cluster import DEFAULT_PREDICTION_CACHE_SIZE_BYTES
from clipper.admin.connection import ClipperConnection
from clipper.cli import context
from clipper.cli.apps import APP_COLUMNS, app_rows
from clipper.cli.models import MODEL_COLUMNS, model_rows, model_summaries
from clipper.cli.output import Output
from clipper.managers.base import MANAGEMENT_PORT, QUERY_PORT, RPC_PORT


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog="Example: clipper up --workers 2")(up)
    app.command(epilog="Example: clipper down --purge")(down)
    app.command(epilog="Example: clipper status -o json")(status)


def up(
    ctx: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")
    ] = None,
    query_port: Annotated[int, typer.Option(help="HTTP port of predictions.")] = QUERY_PORT,
    mgmt_port: Annotated[
        int, typer.Option("--mgmt-port", "--management-port", help="HTTP port of management.")
    ] = MANAGEMENT_PORT,
    rpc_port: Annotated[
        int, typer.Option(help="Port that model containers dial; one more for each worker.")
    ] = RPC_PORT,
    workers: Annotated[int, typer.Option(min=1, help="Query frontend processes.")] = 1,
    cache_size: Annotated[
        int, typer.Option(min=0, help="Prediction cache of each worker, in bytes.")
    ] = DEFAULT_PREDICTION_CACHE_SIZE_BYTES,
    redis_url: Annotated[
        str | None, typer.Option(help="Use this Redis instead of a store of the cluster's own.")
    ] = None,
    redis_ip: Annotated[
        str | None, typer.Option(help="Docker: host of a Redis, instead of its whole URL.")
    ] = None,
    redis_port: Annotated[
        int | None, typer.Option(help="Docker: its port, or the host port of the own store.")
    ] = None,
    prometheus_port: Annotated[
        int | None, typer.Option(help="Docker: host port of Prometheus.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Docker: network of the containers; made if absent.")
    ] = None,
    isolated: Annotated[
        bool, typer.Option(help="Local: give every model an environment of its own.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(envvar="CLIPPER_TOKEN", help="Secret that model containers must present."),
    ] = None,
    foreground: Annotated[
        bool, typer.Option(help="Stay until Ctrl-C or SIGTERM, then stop the cluster.")
    ] = False,
) -> None:
    """Start a cluster; what ran in it before is started again."""
    session = context.of(ctx)
    connection = session.connection(
        host=host,
        clipper_query_port=query_port,
        clipper_management_port=mgmt_port,
        clipper_rpc_port=rpc_port,
        redis_url=redis_url,
        redis_ip=redis_ip,
        redis_port=redis_port,
        prometheus_port=prometheus_port,
        docker_network=network,
        isolated_environments=isolated or None,
        token=token,
    )
    with session.output.progress(f"Starting cluster {session.choice.name}"):
        connection.start_clipper(cache_size=cache_size, qf_http_thread_pool_size=workers)
    session.output.done(
        f"Clipper is running: predictions at http://{connection.get_query_addr()}, "
        f"management at http://{connection.cm.get_admin_addr()}",
        **_addresses(connection),
    )
    if foreground:
        _stay(connection, session.output)


def _addresses(connection: ClipperConnection) -> dict[str, str]:
    return {
        "query_address": connection.get_query_addr(),
        "management_address": connection.cm.get_admin_addr(),
        "metric_address": connection.get_metric_addr(),
    }


def _stay(connection: ClipperConnection, output: Output) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    output.note("Press Ctrl-C to stop the cluster")
    ended.wait()
    with output.progress("Stopping the cluster"):
        connection.stop_all()


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
        **_addresses(connection),
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
