"""What to tell a user of a process that does not stay up: its end in words, its log's last lines.

Pure but for reading the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipper.managers.deaths import explain_exit, last_error, so_far
from clipper.managers.local_state import tail

_LOOK_BACK_LINES = 80


def death_notice(row: Mapping[str, Any]) -> str:
    """Return how the process of a status row ended, how often, and why as its log says."""
    log = tail(Path(row["log"]), _LOOK_BACK_LINES)
    ended = f"{explain_exit(row['last_exit'], log)}, {so_far(row['restarts'])}"
    return f"{ended}. {_quote(row['log'], log)}"


def log_notice(log: str) -> str:
    """Return where a log is and how it ends."""
    return _quote(log, tail(Path(log), _LOOK_BACK_LINES))


def _quote(log: str, text: str) -> str:
    quoted = last_error(text)
    return f"Last lines of {log}:\n{quoted}" if quoted else f"Its log {log} is empty."
