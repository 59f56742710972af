"""Logging of the processes that Clipper owns; libraries never configure logging.

Only entry points (daemon, container, supervisor, command line) call `setup_logging`. A record is
one line on standard error: ISO 8601 time in UTC, level, process, logger, message.
"""

from __future__ import annotations

import datetime
import logging
import sys


def setup_logging(process_name: str, level: int | str = logging.INFO) -> None:
    """Send the root logger's records to standard error; replaces earlier handlers.

    Args:
        process_name: role of this process in every line, such as ``query-frontend``.
        level: lowest level that is written; a name or a number of `logging`.

    Raises:
        ValueError: unknown level name.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(process_name))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


class LineFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z INFO query-frontend clipper.frontend.app: message``.

    Line breaks in the message are escaped, so that one record stays one line and a client's text
    cannot imitate another record. Tracebacks follow on lines of their own.
    """

    def __init__(self, process_name: str) -> None:
        super().__init__("%(asctime)s %(levelname)s %(process_name)s %(name)s: %(message)s")
        self._process_name = process_name

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.process_name = self._process_name
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)
