"""Processes that do not stay up, alike for every manager: what counts as failing, and its words.

Pure. An error is told once, from the last record of level ERROR on: a process that died twice has
logged it twice.
"""

from __future__ import annotations

import re

HEALTHY_AFTER_S = 10.0
"""A process that ran this long is no longer a failing start."""

DEATHS_THAT_COUNT = 2
"""So many early deaths, over all replicas of a version, are a version that does not stay up."""

MISSING_PACKAGE_STATUS = 3
"""Exit status of a model container that could not import what the model needs (spec §9.1)."""

_NOTICE_LINES = 20
_ERROR_RECORD = re.compile(r"\S+ (?:ERROR|CRITICAL) ")
_IMPORT_ERROR = re.compile(r"^(?:ModuleNotFoundError|ImportError)\b", re.MULTILINE)


def explain_exit(status: int | None, log: str = "") -> str:
    """Return an exit status in words.

    Args:
        status: negative is the signal that killed the process; None: it has not ended.
        log: last lines of the process's log. The status of a missing package is any program's to
            use, so only an import error in the log makes it mean that.
    """
    if status is None:
        return "has not exited"
    if status < 0:
        return f"was killed by signal {-status}"
    if status == MISSING_PACKAGE_STATUS and _IMPORT_ERROR.search(log):
        return f"exited with status {status} (a package is missing: name it in pkgs_to_install)"
    return f"exited with status {status}"


def so_far(times: int) -> str:
    """Return ``once so far``, or how often."""
    return f"{'once' if times == 1 else f'{times} times'} so far"


def last_error(text: str, most_lines: int = _NOTICE_LINES) -> str:
    """Return the last lines; fewer if the last ERROR record, with its traceback, is shorter."""
    lines = text.splitlines()
    for start in range(len(lines) - 1, max(len(lines) - most_lines, 0) - 1, -1):
        if _ERROR_RECORD.match(lines[start]):
            return "\n".join(lines[start:])
    return "\n".join(lines[-most_lines:])
