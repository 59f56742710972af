"""What to tell a user of a process that does not stay up: its end in words, its log's last lines.

Pure but for reading the log. An error is told once, from the last record of level ERROR on: a
process that died twice has logged it twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipper.managers.local_policy import explain_exit
from clipper.managers.local_state import tail

_NOTICE_LINES = 20
_LOOK_BACK_LINES = 80
_ERROR_RECORD = re.compile(r"\S+ (?:ERROR|CRITICAL) ")


def death_notice(row: Mapping[str, Any]) -> str:
    """Return how the process of a status row ended, how often, and why as its log says."""
    times = "once" if row["restarts"] == 1 else f"{row['restarts']} times"
    log = tail(Path(row["log"]), _LOOK_BACK_LINES)
    return f"{explain_exit(row['last_exit'], log)}, {times} so far. {_quote(row['log'], log)}"


def log_notice(log: str) -> str:
    """Return where a log is and how it ends."""
    return _quote(log, tail(Path(log), _LOOK_BACK_LINES))


def last_error(text: str, most_lines: int = _NOTICE_LINES) -> str:
    """Return the last lines; fewer if the last ERROR record, with its traceback, is shorter."""
    lines = text.splitlines()
    for start in range(len(lines) - 1, max(len(lines) - most_lines, 0) - 1, -1):
        if _ERROR_RECORD.match(lines[start]):
            return "\n".join(lines[start:])
    return "\n".join(lines[-most_lines:])


def _quote(log: str, text: str) -> str:
    quoted = last_error(text)
    return f"Last lines of {log}:\n{quoted}" if quoted else f"Its log {log} is empty."
