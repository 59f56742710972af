"""Copying container logs, by what the engine may answer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests

from clipper.managers.docker.engine import Engine, EngineAbsent
from clipper.managers.docker.logs import copy_logs

_IMAGE = "sha256:" + "a1" * 32


class _Container:
    """As much of the SDK's container as a log needs."""

    def __init__(self, name: str, read: Callable[[], Iterator[bytes]]) -> None:
        self.name = name
        self.attrs = {"Image": _IMAGE, "Id": name.encode().hex().ljust(64, "0")}
        self._read = read

    def logs(self, *, stream: bool, follow: bool) -> Iterator[bytes]:
        assert (stream, follow) == (True, False)
        return self._read()


class _Client:
    def ping(self) -> bool:
        return True


@pytest.fixture
def engine() -> Engine:
    client: Any = _Client()
    return Engine(client)


def _wrote(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(pieces)


def _fails(error: Exception, after: bytes = b"") -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        if after:
            yield after
        raise error

    return read


def _copy(engine: Engine, directory: Path, *containers: Any) -> dict[str, bytes]:
    paths = [Path(path) for path in copy_logs(engine, containers, directory)]
    assert all(path.is_absolute() for path in paths)
    return {path.name: path.read_bytes() for path in paths}


def test_a_file_is_named_after_container_and_image(engine: Engine, tmp_path: Path) -> None:
    files = _copy(engine, tmp_path / "new" / "logs", _Container("mm", _wrote(b"one\n", b"two\n")))
    assert files == {
        "mm:image_a1a1a1a1a1a1:container_6d6d00000000.log": b"one\ntwo\n",
    }


def test_the_sparse_form_of_a_listed_container_gives_the_same_name(
    engine: Engine, tmp_path: Path
) -> None:
    container = _Container("mm", _wrote())
    container.attrs |= {"Image": "registry/m:1", "ImageID": _IMAGE}
    assert list(_copy(engine, tmp_path, container)) == [
        "mm:image_a1a1a1a1a1a1:container_6d6d00000000.log"
    ]


def test_a_log_that_cannot_be_read_is_told_and_stops_nothing(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = docker.errors.APIError("x", explanation="configured logging driver does not support")
    with caplog.at_level(logging.WARNING):
        files = _copy(
            engine, tmp_path, _Container("mm", _fails(refusal)), _Container("nn", _wrote(b"fine\n"))
        )
    unread, fine = files.values()
    assert b"container mm: configured logging driver does not support" in unread
    assert fine == b"fine\n"
    assert "logging driver does not support" in caplog.text


def test_a_container_that_is_gone_leaves_no_file(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = _Container("mm", _fails(docker.errors.NotFound("no such container"), after=b"half"))
    with caplog.at_level(logging.WARNING):
        assert _copy(engine, tmp_path, gone) == {}
    assert list(tmp_path.iterdir()) == []
    assert "container mm was removed" in caplog.text


def test_an_engine_that_stops_answering_is_an_error(engine: Engine, tmp_path: Path) -> None:
    hanging = _Container("mm", _fails(requests.exceptions.ReadTimeout()))
    with pytest.raises(EngineAbsent, match="reading the log of container mm"):
        _copy(engine, tmp_path, hanging)


def test_a_log_is_never_whole_in_memory(engine: Engine, tmp_path: Path) -> None:
    """Each piece is handed to the file before the next one is read."""
    seen = []

    def read() -> Iterator[bytes]:
        for _ in range(3):
            with contextlib.suppress(StopIteration):
                seen.append(next(tmp_path.iterdir()).stat().st_size)
            yield b"x" * 100_000

    _copy(engine, tmp_path, _Container("mm", read))
    assert seen == [0, 100_000, 200_000]
