"""Log files stay bounded while their processes run: what is too much is set aside.

The files are opened for appending, so a writer goes on at the new end of a file that was emptied
under it. Nothing stands between a process and its log, and nothing is lost when the supervisor
dies; only lines that are written during the copy may be.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

MAX_LOG_BYTES = 10 * 1024 * 1024
"""A log larger than this is emptied; its end is kept beside it, as ``.log.1``."""

_CHECK_PERIOD_S = 5.0

_log = logging.getLogger(__name__)


def bound_log(path: Path, limit_bytes: int = MAX_LOG_BYTES) -> None:
    """Empty a log that is larger than the limit, after copying its last ``limit_bytes``.

    Raises:
        OSError: the copy or the log cannot be written.
    """
    try:
        surplus = path.stat().st_size - limit_bytes
    except FileNotFoundError:
        return
    if surplus <= 0:
        return
    with path.open("r+b") as log, path.with_name(f"{path.name}.1").open("wb") as kept:
        log.seek(surplus)
        kept.write(log.read(limit_bytes))
        log.truncate(0)


def bound_all(directory: Path) -> None:
    """Bound every log of the directory; one that cannot be is logged, the others are bounded."""
    for path in directory.glob("*.log"):
        try:
            bound_log(path)
        except OSError as error:
            _log.warning("the log %s cannot be bounded: %s", path, error)


async def keep_bounded(directory: Path) -> None:
    """Bound the logs of the directory again and again, until cancelled."""
    while True:
        await asyncio.sleep(_CHECK_PERIOD_S)
        await asyncio.to_thread(bound_all, directory)
