"""Answers of a Docker engine that come in pieces, and stop in the middle."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper.managers.docker import build
from clipper.managers.docker.build import TransferFailed, build_image, pull_image
from clipper.managers.docker.engine import Engine, EngineAbsent
from clipper.managers.docker.logs import copy_logs
from clipper.managers.docker.transcript import BuildFailed
from tests.fakes.broken_engine import CONTAINER, Break, broken_engine


def connect(how: Break, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    for variable in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(variable, raising=False)
    with broken_engine(how) as broken:
        monkeypatch.setenv("DOCKER_HOST", broken.url)
        engine = Engine(timeout_s=1)
        yield engine
        engine.client.close()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    yield from connect(Break.SILENCE, monkeypatch)


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    yield from connect(Break.DEATH, monkeypatch)


def test_a_build_that_says_nothing_more_fails_with_its_step(
    silent: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "SILENCE_LIMIT_S", 1)
    with pytest.raises(BuildFailed, match=r"(?s)step 1 of 2 failed.*nothing was heard for 1 s"):
        build_image(silent, io.BytesIO(bytes(1024)), "x:1")


def test_a_pull_that_says_nothing_more_fails(silent: Engine) -> None:
    with pytest.raises(TransferFailed, match="nothing was heard for 1 s"):
        pull_image(silent, "x:1", silence_s=1)


def test_a_log_that_stops_in_the_middle_ends_the_copying(silent: Engine, tmp_path: Path) -> None:
    container = silent.client.containers.get(CONTAINER)
    with pytest.raises(EngineAbsent, match="did not answer within 1 s while reading the log"):
        copy_logs(silent, [container], tmp_path)


def test_an_engine_that_dies_under_a_build_or_pull_is_absent(dying: Engine) -> None:
    with pytest.raises(EngineAbsent, match="cannot be reached while building image x:1"):
        build_image(dying, io.BytesIO(bytes(1024)), "x:1")
    with pytest.raises(EngineAbsent, match="cannot be reached while moving image x:1"):
        pull_image(dying, "x:1")
