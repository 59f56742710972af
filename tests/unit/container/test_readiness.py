from __future__ import annotations

import pathlib

import pytest

from clipper.container.readiness import ReadinessFile
from clipper.errors import ClipperException


def test_it_exists_exactly_while_ready(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ready"
    file = ReadinessFile(str(path))
    file.prepare()
    assert list(tmp_path.iterdir()) == []
    file.show(True)
    assert path.read_text() == "READY"
    file.show(False)
    file.show(False)
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_run_left_goes_at_the_start(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ready"
    path.write_text("READY")
    ReadinessFile(str(path)).prepare()
    assert not path.exists()


def test_nobody_asked_nothing_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = ReadinessFile(None)
    file.prepare()
    file.show(True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing/ready", "directory"])
def test_a_place_that_takes_no_file_is_named(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(ClipperException, match=rf"CLIPPER_READY_FILE=.*{name} cannot be written"):
        ReadinessFile(str(tmp_path / name)).prepare()


def test_a_file_that_cannot_be_written_later_is_reported_and_tried_again(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "run"
    file = ReadinessFile(str(directory / "ready"))
    file.show(True)
    assert "was not changed: No such file or directory" in caplog.text
    directory.mkdir()
    file.show(True)
    assert (directory / "ready").exists()
