"""The command's global options, its groups, and how failures are told."""

from __future__ import annotations

import re
import signal
import sys
from typing import Annotated, Any

import requests
import typer
from typer.core import TyperGroup

import clipper
from clipper.cli import (
    apps,
    cluster,
    deploy,
    doctor,
    images,
    logs,
    models,
    offline,
    policies,
    queries,
)
from clipper.cli.context import Context
from clipper.cli.global_options import configure_logging, place_flags, repeat_on_commands
from clipper.cli.modes import (
    DEFAULT_CLUSTER,
    DEFAULT_NAMESPACE,
    ClusterChoice,
    KubernetesPlace,
    Mode,
)
from clipper.cli.output import Format, Output
from clipper.errors import ClipperException


class ReportingGroup(TyperGroup):
    """Turns expected failures into one sentence on stderr and exit code 1."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        repeat_on_commands(self)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; tracebacks only with ``-v`` or for a bug in Clipper."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader, such as `head`, has seen enough; typer ends quietly
        except (ClipperException, requests.RequestException, OSError) as error:
            context = ctx.obj if isinstance(ctx.obj, Context) else Context()
            if context.verbose:
                raise
            context.output.error(explain(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            context = ctx.obj if isinstance(ctx.obj, Context) else Context()
            context.output.note("Interrupted: what this command had begun is undone")
            raise typer.Exit(128 + signal.SIGINT) from None


_REFUSAL = re.compile(r"Received error status code: (\d)\d\d and message: ")
_UNKNOWN_OR_TAKEN = re.compile(r"exist|\blinked\b")
_EXISTING_CLUSTER = re.compile(r"(Cluster \S+) cannot be started because it already exists\.")
_NO_SUCH_MODEL = re.compile(r"No versions of model|non-registered model")


def explain(error: Exception) -> str:
    """Return the failure and the next step, in terms of the command."""
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        url = error.request.url if error.request is not None else "a frontend"
        return f"{url} cannot be reached. Run `clipper doctor` to find out why"
    text = str(error)
    if existing := _EXISTING_CLUSTER.match(text):
        return f"{existing[1]} runs already. `clipper status` shows it, `clipper down` stops it"
    if _NO_SUCH_MODEL.search(text):
        return f"{text}. `clipper models` lists what there is"
    refusal = _REFUSAL.match(text)
    if refusal is None:
        return text
    reason = text[refusal.end() :].strip()
    if refusal[1] == "5":
        return f"{reason} `clipper doctor` looks for the cause"
    if not _UNKNOWN_OR_TAKEN.search(reason):
        return reason
    return f"{reason.rstrip('.')}. `clipper status` shows what there is"


app = typer.Typer(
    cls=ReportingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Serve predictions: run a cluster, deploy models, ask them.",
    epilog="Example: clipper up",
)
cluster.add_commands(app)
deploy.add_commands(app)
models.add_commands(app)
queries.add_commands(app)
logs.add_commands(app)
offline.add_commands(app)
doctor.add_commands(app)
app.add_typer(apps.group, name="apps")
app.add_typer(models.group, name="models")
app.add_typer(policies.group, name="policy")
app.add_typer(offline.cascade_group, name="cascade")
app.add_typer(images.group, name="images")


_KUBERNETES = "With --mode kubernetes"


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"clipper {clipper.__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    ctx: typer.Context,
    cluster_name: Annotated[
        str,
        typer.Option("--cluster", "-c", envvar="CLIPPER_CLUSTER", help="Name of the cluster."),
    ] = DEFAULT_CLUSTER,
    state_dir: Annotated[
        str | None,
        typer.Option(envvar="CLIPPER_STATE_DIR", help="Directory of the cluster's state."),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(envvar="CLIPPER_MODE", help="Where the processes run.")
    ] = Mode.LOCAL,
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace",
            "-n",
            envvar="CLIPPER_NAMESPACE",
            help="Namespace of the cluster.",
            rich_help_panel=_KUBERNETES,
        ),
    ] = DEFAULT_NAMESPACE,
    kubeconfig: Annotated[
        str | None,
        typer.Option(
            help="File that says how to reach Kubernetes; default as kubectl's: KUBECONFIG.",
            rich_help_panel=_KUBERNETES,
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            envvar="CLIPPER_CONTEXT",
            help="Context of that file; default the current one.",
            rich_help_panel=_KUBERNETES,
        ),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            envvar="CLIPPER_PROXY",
            metavar="HOST:PORT",
            rich_help_panel=_KUBERNETES,
            help="Reach the frontends through the `kubectl proxy` that listens there.",
        ),
    ] = None,
    internal_ip: Annotated[
        bool,
        typer.Option(
            "--internal-ip",
            envvar="CLIPPER_INTERNAL_IP",
            rich_help_panel=_KUBERNETES,
            help="Reach node ports at the nodes' internal addresses.",
        ),
    ] = False,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="Tables for people, JSON for programs.")
    ] = Format.TABLE,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log every step; tracebacks on failure.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Options of all commands."""
    if ctx.obj is None:
        ctx.obj = Context()
    session: Context = ctx.obj
    place = KubernetesPlace(namespace, kubeconfig, context, proxy, internal_ip, place_flags(ctx))
    session.choice = ClusterChoice(cluster_name, state_dir, mode, place=place)
    session.output = Output(output)
    session.verbose = verbose
    configure_logging(verbose)


def main() -> None:
    """Entry point of the `clipper` command."""
    # An ended command undoes what it has half done, just as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()
