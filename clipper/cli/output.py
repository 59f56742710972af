"""Printing for people (tables) and for programs (JSON). Results to stdout, the rest to stderr.

For programs, everything on stderr is JSON as well, one object a line: ``{"error": …}`` and
``{"note": …}``. Only wrong usage of the command is told in words.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class Format(enum.StrEnum):
    """Form of the results."""

    TABLE = "table"
    JSON = "json"


class Output:
    """Where and how a command prints."""

    def __init__(self, form: Format = Format.TABLE) -> None:
        self.form = form

    @property
    def is_json(self) -> bool:
        """Whether a program reads the results."""
        return self.form is Format.JSON

    def json(self, value: object) -> None:
        """Print a value as JSON."""
        print(json.dumps(value, indent=2, default=str))

    def text(self, text: str) -> None:
        """Print text as it is."""
        print(text)

    def done(self, message: str, **facts: Any) -> None:
        """Say what was done."""
        if self.is_json:
            self.json({"message": message, **facts})
        else:
            self.text(message)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table; an empty one says so."""
        if not rows:
            self.text(f"{title}: none")
            return
        table = Table(title=title, title_justify="left", title_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        # Piped tables must not be cut at the 80 columns that rich assumes without a terminal.
        width = None if sys.stdout.isatty() else 200
        Console(file=sys.stdout, width=width).print(table)

    def note(self, text: str) -> None:
        """Print a remark to stderr."""
        print(json.dumps({"note": text}) if self.is_json else text, file=sys.stderr)

    def error(self, text: str) -> None:
        """Print a failure to stderr."""
        if self.is_json:
            print(json.dumps({"error": text}), file=sys.stderr)
            return
        console = Console(file=sys.stderr, soft_wrap=True, highlight=False)
        console.print(f"[bold red]Error:[/bold red] {escape(text)}")

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[None]:
        """Show the client's log messages as stages while something takes its time."""
        with Console(file=sys.stderr).status(escape(what)) as status:
            stages = _MessageHandler(lambda text: status.update(escape(text)))
            # What an image gets is worth keeping on the screen.
            notes = _MessageHandler(self.note)
            with _heard("clipper.admin", stages), _heard("clipper.deployers", notes):
                yield


@contextlib.contextmanager
def _heard(logger_name: str, handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger(logger_name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _MessageHandler(logging.Handler):
    """Shows log messages, from INFO on, to the person at the terminal."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show the message without the cluster's prefix."""
        self._show(record.getMessage().partition("] ")[2] or record.getMessage())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return escape(str(value))
