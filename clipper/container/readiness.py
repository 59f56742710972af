"""The file that tells a container engine's health check that this container serves."""

from __future__ import annotations

import logging
import os
import pathlib

from clipper.errors import ClipperException

_log = logging.getLogger(__name__)

_CONTENT = "READY"


class ReadinessFile:
    """Exists exactly while the model is loaded and registered with a frontend.

    Args:
        path: where; None: nobody looks, nothing is written.
    """

    def __init__(self, path: str | None) -> None:
        self._path = pathlib.Path(path) if path else None
        self._part = pathlib.Path(f"{path}.part")
        self._shown = False

    def prepare(self) -> None:
        """Remove what an earlier run of this container left, and prove that it can be written.

        Raises:
            ClipperException: it cannot.
        """
        if self._path is None:
            return
        try:
            self._path.unlink(missing_ok=True)
            self._part.write_text(_CONTENT)
            self._part.unlink()
        except OSError as error:
            raise ClipperException(
                f"CLIPPER_READY_FILE={self._path} cannot be written: {error.strerror}. Name a file "
                f"in a directory that the user with the id {os.getuid()} may write to, or leave "
                "the variable out."
            ) from error

    def show(self, ready: bool) -> None:
        """Bring the file in line; a disk that is full now is reported, and the model serves on."""
        if self._path is None or ready == self._shown:
            return
        try:
            if ready:
                # Whole or not at all: a health check may read at any moment.
                self._part.write_text(_CONTENT)
                self._part.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            _log.error("CLIPPER_READY_FILE=%s was not changed: %s", self._path, error.strerror)
        else:
            self._shown = ready
