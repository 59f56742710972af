"""`doctor`: gathers what can be known of a cluster and prints the findings."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence

import requests
import typer

from clipper.admin.connection import ClipperConnection
from clipper.cli import context
from clipper.cli.diagnosis import MANAGEMENT_API, Facts, examine
from clipper.cli.home import HOMES
from clipper.cli.models import model_summaries
from clipper.cli.modes import Mode
from clipper.errors import ClipperException
from clipper.managers.base import RPC_PORT, ProcessRow
from clipper.managers.findings import Finding

_HOST = "127.0.0.1"
_DISTRIBUTION = "clipper-serving"
_PROBE_TIMEOUT_S = 5.0
_TAIL_LINES = 15


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog="Example: clipper doctor")(doctor)


def doctor(ctx: typer.Context) -> None:
    """Look for what is wrong and say what to do; exit code 1 if there is a problem."""
    session = context.of(ctx)
    findings = examine(gather(session))
    if session.output.is_json:
        session.output.json([finding.as_json() for finding in findings])
    else:
        for finding in findings:
            _print(session, finding)
    if any(finding.is_problem for finding in findings):
        raise typer.Exit(1)


def _print(session: context.Context, finding: Finding) -> None:
    mark = "PROBLEM" if finding.is_problem else "ok     "
    session.output.text(f"{mark}  {finding.check}: {finding.detail}")
    if finding.next_step:
        session.output.text(f"         -> {finding.next_step}")


def gather(session: context.Context) -> Facts:
    """Collect the facts; what cannot be reached is a fact, too."""
    of_home: list[Finding] = []
    try:
        connection = session.connection()
        of_home += connection.cm.diagnose()
        status = connection.cm.status()
    except ClipperException as error:
        facts = _host_facts(session, "", silent_supervisor=str(error))
        facts.of_home = of_home
        return facts
    running = status["state"] == "running"
    facts = _host_facts(session, status["state_dir"])
    facts.running, facts.of_home = running, of_home
    facts.children, facts.services = status["children"], status["services"]
    facts.log_tails = _log_tails(session, connection, status["children"])
    facts.missing_images = connection.cm.missing_images()
    if not running and facts.home.own_ports:
        facts.taken_ports = [
            port for port in _ports(connection) if not session.port_is_free(_HOST, port)
        ]
    if not running:
        return facts
    try:
        connection.connect()
        _ask_frontends(session, connection, facts)
    except (ClipperException, requests.RequestException) as error:
        facts.unreachable[MANAGEMENT_API] = str(error)
    return facts


def _host_facts(session: context.Context, state_dir: str, silent_supervisor: str = "") -> Facts:
    home = HOMES[session.choice.mode]
    return Facts(
        cluster=session.choice.name,
        python=(sys.version_info.major, sys.version_info.minor),
        missing_packages=tuple(_missing_packages()),
        state_dir=state_dir,
        state_dir_writable=not home.on_disk or _is_writable(pathlib.Path(state_dir)),
        home=home,
        silent_supervisor=silent_supervisor,
    )


def _ask_frontends(session: context.Context, connection: ClipperConnection, facts: Facts) -> None:
    frontends = {
        "query frontend": connection.get_query_addr(),
        "management frontend": connection.cm.get_admin_addr(),
    }
    for name, address in frontends.items():
        failure = _not_ready(session, address)
        if failure:
            facts.unreachable[name] = failure
    if "management frontend" in facts.unreachable:
        return
    facts.workers = connection.get_workers()
    facts.applications = connection.get_all_apps(verbose=True)
    facts.models = model_summaries(connection, facts.workers)


def _not_ready(session: context.Context, address: str) -> str | None:
    try:
        reply = session.http.get(f"http://{address}/readyz", timeout_s=_PROBE_TIMEOUT_S)
    except requests.RequestException as error:
        return f"http://{address} cannot be reached ({type(error).__name__})"
    return None if reply.status == 200 else f"http://{address}/readyz: {reply.text.strip()[:300]}"


def _ports(connection: ClipperConnection) -> list[int]:
    addresses = (connection.cm.get_query_addr(), connection.cm.get_admin_addr())
    return [*(int(address.rpartition(":")[2]) for address in addresses), RPC_PORT]


def _missing_packages() -> Iterator[str]:
    """Names of required distributions that are absent; none when run from a source tree."""
    try:
        requirements = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        if name is not None and "extra ==" not in requirement and not _installed(name.group()):
            yield name.group()


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _is_writable(path: pathlib.Path) -> bool:
    existing = next(one for one in (path, *path.parents) if one.exists())
    return os.access(existing, os.W_OK)


def _log_tails(
    session: context.Context, connection: ClipperConnection, children: Sequence[ProcessRow]
) -> dict[str, str]:
    """Return the ends of the logs of what was restarted, by what its row calls the log."""
    if session.choice.mode is Mode.KUBERNETES:
        return {}  # its own diagnosis quotes them
    restarted = [child["log"] for child in children if child["restarts"]]
    if session.choice.mode is not Mode.DOCKER or not restarted:
        return {log: _tail(log) for log in restarted}
    with tempfile.TemporaryDirectory(prefix="clipper-logs-") as directory:
        try:
            copies = connection.cm.get_logs(directory)
        except NotImplementedError as error:  # centralized logging
            return {log: str(error) for log in restarted}
        return {
            log: _tail(copy)
            for log in restarted
            for copy in copies
            if pathlib.Path(copy).name.startswith(f"{log.rpartition(' ')[2]}:")
        }


def _tail(log: str) -> str:
    try:
        lines = pathlib.Path(log).read_text(errors="replace").splitlines()
    except OSError as error:
        return f"(the log cannot be read: {error})"
    return "\n".join(lines[-_TAIL_LINES:])
