from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from clipper.admin.connection import ClipperConnection
from clipper.cli.app import app
from clipper.cli.context import Context
from tests.fakes.fake_management import FakeCluster, FakeHttp, FakeManager, FakeTime


@dataclasses.dataclass
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def logger_as_before() -> Iterator[None]:
    """The command configures its process's logging; tests share one process."""
    logger = logging.getLogger("clipper")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def manager(cluster: FakeCluster) -> FakeManager:
    return FakeManager(cluster)


@pytest.fixture
def connection(cluster: FakeCluster, manager: FakeManager) -> ClipperConnection:
    time = FakeTime(cluster)
    connection = ClipperConnection(
        manager, http=FakeHttp(cluster), clock=time.clock, sleep=time.sleep
    )
    connection.connect()
    return connection


@pytest.fixture
def context(cluster: FakeCluster, manager: FakeManager, connection: ClipperConnection) -> Context:
    def make_manager(choice: Any) -> FakeManager:
        manager.start_options = choice.start_options  # type: ignore[attr-defined]
        return manager

    return Context(
        make_manager=make_manager,
        make_connection=lambda _: connection,
        http=FakeHttp(cluster),
    )


@pytest.fixture
def run(context: Context) -> Run:
    def invoke(*arguments: str, stdin: str | bytes | None = None) -> Outcome:
        result = CliRunner().invoke(app, list(arguments), obj=context, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return invoke
