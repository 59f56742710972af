"""The log of an image's build: its lines as they come, and the few that explain a failure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clipper.errors import ClipperException

_KEPT_LINES = 400
_SHOWN_LINES = 12
_SHOWN_CHARACTERS = 240
_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FAILING = re.compile(r"\s*(ERROR|E|error|fatal|\w+(Error|Exception))\s?: ")
_NO_IMAGE = re.compile(r"pull access denied|manifest unknown|not found|no such host|i/o timeout"
                       r"|connection refused|Client\.Timeout|TLS handshake")  # fmt: skip


class BuildFailed(ClipperException):
    """An image could not be built; the text holds the step and the lines that say why."""


class Transcript:
    """What one build has said so far."""

    def __init__(self, tag: str) -> None:
        """Begin.

        Args:
            tag: name of the image, for the error.
        """
        self._tag = tag
        self._step = ""
        self._instruction = ""
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)

    def lines(self, stream: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """Yield the lines of the engine's stream, without colours and empty ones.

        Raises:
            BuildFailed: the stream holds a failure.
        """
        error = ""
        for part in stream:  # to its end, or the connection would stay open
            error = error or str(part.get("error", "")).strip()
            text = str(part.get("stream") or part.get("status") or "")
            for line in _COLOUR.sub("", text).splitlines():
                if line.strip():
                    self._remember(line.rstrip())
                    yield line.rstrip()
        if error:
            raise self.failure(error)

    @property
    def begun(self) -> bool:
        """Whether the engine has named a step."""
        return bool(self._step)

    def failure(self, error: str) -> BuildFailed:
        """Return what the engine calls an error, together with what the build has said."""
        return BuildFailed(self._explain(error))

    def _remember(self, line: str) -> None:
        step = _STEP.match(line)
        if step is None:
            self._said.append(line)
            return
        self._step = f"step {step[1]} of {step[2]}"
        self._instruction = step[3].strip()
        self._said.clear()

    def _explain(self, error: str) -> str:
        missing = re.match(r"FROM (\S+)", self._instruction)
        if missing and _NO_IMAGE.search(error):
            return (
                f"Image {self._tag} cannot be built: the image it begins with, {missing[1]}, is "
                f"neither on this Docker engine nor can it be pulled ({_shortened(error)})"
            )
        if not self._step:
            return f"Image {self._tag} cannot be built: {error}"
        where = f"{self._step} failed: {_shortened(self._instruction)}"
        lines = [f"Image {self._tag} cannot be built: {where}", *self._failing(), _shortened(error)]
        return "\n".join(lines)

    def _failing(self) -> list[str]:
        """Return the lines in which pip, apt or an interpreter says what is wrong, or the last."""
        failing = [line for line in self._said if _FAILING.match(line)]
        return [_cut(line) for line in (failing or list(self._said))[-_SHOWN_LINES:]]


def _shortened(text: str) -> str:
    return _cut(" ".join(text.split()))


def _cut(line: str) -> str:
    """Return the line without its middle if it is long: pip lists every version there is."""
    if len(line) <= _SHOWN_CHARACTERS:
        return line
    half = _SHOWN_CHARACTERS // 2
    return f"{line[:half]} … {line[-half:]}"
