"""What users are told of a process that does not stay up."""

from __future__ import annotations

from pathlib import Path

from clipper.managers.local_notices import death_notice, log_notice

ERROR = "2026-01-31T12:00:00.123Z ERROR container clipper.container: The model cannot be loaded"


def test_a_death_is_told_with_status_number_and_cause(tmp_path: Path) -> None:
    log = tmp_path / "model.log"
    log.write_text(f"{ERROR}\nModuleNotFoundError: No module named 'x'\n")
    row = {"last_exit": 3, "restarts": 1, "log": str(log)}
    notice = death_notice(row)
    assert notice.startswith("exited with status 3 (a package is missing: name it in pkgs_to")
    assert f"once so far. Last lines of {log}:\n{ERROR}\nModuleNotFound" in notice
    log.write_text("bye\n")
    assert death_notice({**row, "restarts": 2}).startswith("exited with status 3, 2 times so far.")


def test_an_empty_log_is_called_empty(tmp_path: Path) -> None:
    assert log_notice(str(tmp_path / "none.log")) == f"Its log {tmp_path}/none.log is empty."
