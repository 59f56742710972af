"""The lines of the ladder: which servers there are, and what each is sent."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from benchmarks import models
from benchmarks.processes import (
    clipper_cluster,
    python_server,
    serve,
    worker_processes,
)
from benchmarks.spec import Inputs
from clipper.admin.connection import ClipperConnection
from clipper.deployers.sklearn import deploy_sklearn_model

SLO_S = 0.1
LOGISTIC_SLO_S = 0.02
_REFERENCE = "benchmarks.reference_servers"
PROTOCOL_SUFFIX = "+"
"""Marks a line that goes through the predict-only protocol class instead of uvicorn and ASGI."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What a line is about."""

    title: str
    model: str | None
    """None: a reference server."""
    size: int = 8
    """Numbers of an input."""
    inputs: str = Inputs.SAME
    slo_s: float = SLO_S


KINDS = {
    "bare": Kind("bare asyncio responder", None),
    "line": Kind("the line: uvicorn + ASGI, 8 doubles", None),
    "line784": Kind("the line, 784 doubles", None, models.WIDE),
    "hit": Kind("cache hit", "noop"),
    "miss": Kind("miss, no-op container", "noop", inputs=Inputs.DISTINCT),
    "logistic": Kind(
        "logistic regression, 784 doubles", "logistic", models.WIDE, Inputs.DISTINCT, LOGISTIC_SLO_S
    ),
    "forest": Kind("random forest, 64 doubles", "forest", 64, Inputs.DISTINCT),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of the ladder: where to send what, and whose processor time counts."""

    name: str
    kind: Kind
    port: int
    frontend_pids: list[int]
    container_pids: list[int]

    @property
    def title(self) -> str:
        """Its name for people."""
        through = ", protocol class" if self.name.endswith(PROTOCOL_SUFFIX) else ""
        return self.kind.title + through

    @property
    def path(self) -> str:
        """Where predictions are asked for."""
        return f"/{self.kind.model or 'noop'}/predict"


@contextlib.contextmanager
def started(names: Sequence[str]) -> Iterator[list[Line]]:
    """Start what these lines need, all at once; yields them in the order of the names.

    Args:
        names: keys of `KINDS`; with `PROTOCOL_SUFFIX` the line goes through the protocol class.
    """
    lines: dict[str, Line] = {}
    with contextlib.ExitStack() as stack:
        if "bare" in names:
            port, pid = stack.enter_context(python_server(_REFERENCE, "bare"))
            lines["bare"] = Line("bare", KINDS["bare"], port, [pid], [])
        plain = [name for name in names if name in ("line", "line784")]
        if plain:
            port, pid = stack.enter_context(python_server(_REFERENCE, "asgi"))
            lines |= {name: Line(name, KINDS[name], port, [pid], []) for name in plain}
        clipper = [name for name in names if name not in lines]
        for asgi in (True, False):
            wanted = [name for name in clipper if name.endswith(PROTOCOL_SUFFIX) != asgi]
            if wanted:
                lines |= stack.enter_context(_clipper_lines(wanted, asgi))
        yield [lines[name] for name in names]


@contextlib.contextmanager
def _clipper_lines(names: Sequence[str], asgi: bool) -> Iterator[dict[str, Line]]:
    kinds = {name: KINDS[name.removesuffix(PROTOCOL_SUFFIX)] for name in names}
    slos_s = {kind.model: kind.slo_s for kind in kinds.values() if kind.model}
    with clipper_cluster(asgi=asgi) as (connection, manager):
        deployers = _deployers(connection)
        for model, slo_s in slos_s.items():
            serve(connection, model, slo_s, deployers[model])
        port = int(manager.get_query_addr().rpartition(":")[2])
        pids, frontend = manager.child_pids(), worker_processes(manager)
        yield {
            name: Line(name, kind, port, frontend, pids[f"model:{kind.model}:1"])
            for name, kind in kinds.items()
        }


def _deployers(connection: ClipperConnection) -> dict[str, Callable[[], None]]:
    def noop() -> None:
        connection.deploy_model("noop", "1", "doubles", "noop-container")

    def logistic() -> None:
        model = models.wide_logistic()
        deploy_sklearn_model(connection, "logistic", 1, "doubles", None, model)

    def forest() -> None:
        model = models.digits_forest()
        deploy_sklearn_model(connection, "forest", 1, "doubles", None, model)

    return {"noop": noop, "logistic": logistic, "forest": forest}
