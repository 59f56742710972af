"""Bounding a log under the process that writes it."""

from __future__ import annotations

from pathlib import Path

from clipper.managers.local_logs import MAX_LOG_BYTES, bound_all, bound_log


def test_a_small_or_absent_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    bound_log(log, 4)
    log.write_bytes(b"1234")
    bound_log(log, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]
    assert log.read_bytes() == b"1234"


def test_the_writer_goes_on_at_the_new_end(tmp_path: Path) -> None:
    log, kept = tmp_path / "a.log", tmp_path / "a.log.1"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789")
        bound_log(log, 4)
        assert (log.read_bytes(), kept.read_bytes()) == (b"", b"6789")
        writer.write(b"abcdef")
        assert log.read_bytes() == b"abcdef"
        bound_log(log, 4)
    assert kept.read_bytes() == b"cdef"


def test_one_log_that_cannot_be_bounded_does_not_spare_the_others(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        with (tmp_path / name).open("wb") as log:
            log.truncate(MAX_LOG_BYTES + 1)  # a hole, so nothing is written
    (tmp_path / "a.log.1").mkdir()
    bound_all(tmp_path)
    assert (tmp_path / "b.log").stat().st_size == 0
    assert (tmp_path / "b.log.1").stat().st_size == MAX_LOG_BYTES
