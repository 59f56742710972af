"""Building, pushing and pulling images, with what went wrong in the error and not only in the log.

The engine answers these calls with a stream of JSON objects and status 200, whatever happens
afterwards: a failure is an object in the stream (spec §10.3 and #570 tell of one nobody looked at).
"""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

from clipper.errors import ClipperException
from clipper.managers.docker.engine import Engine

PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST")
"""Settings of pip that a build takes over from the client's environment."""

SILENCE_LIMIT_S = 1800
"""No single step may say nothing for longer: pip is silent while it loads a large wheel."""

OnLine = Callable[[str], None]
"""Called with every line of a build's, push's or pull's log."""

_log = logging.getLogger(__name__)


class BuildFailed(ClipperException):
    """An image could not be built; the text holds the step and its failing lines."""


def log_line(line: str) -> None:
    """Log a line of the stream at INFO, as the original did (spec §10.3)."""
    _log.info("%s", line)


def build_image(
    engine: Engine,
    context: BinaryIO,
    tag: str,
    *,
    dockerfile: str = "Dockerfile",
    build_args: Mapping[str, str] | None = None,
    on_line: OnLine = log_line,
) -> str:
    """Build an image from a tar file and return its id.

    Args:
        context: an uncompressed tar file of the build context.
        dockerfile: its place in the context.
        build_args: values of the Dockerfile's ARG lines; proxies come from Docker's own
            configuration.

    Raises:
        BuildFailed: a step failed; holds the step and the lines that say why.
        EngineAbsent: the engine does not answer.
    """
    transcript = Transcript(tag)
    with engine.calling(f"building image {tag}"):
        stream = engine.client.api.build(
            fileobj=context,
            custom_context=True,
            dockerfile=dockerfile,
            tag=tag,
            buildargs=dict(build_args or {}),
            use_config_proxy=True,
            rm=True,
            forcerm=True,
            decode=True,
            timeout=SILENCE_LIMIT_S,
        )
        for line in transcript.lines(stream):
            on_line(line)
        return str(engine.client.images.get(tag).id)


def pip_arguments(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return pip's settings of the client's environment as build arguments."""
    return {name: environment[name] for name in PIP_VARIABLES if environment.get(name)}


class Transcript:
    """What a build has said so far."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._step = ""
        self._said: deque[str] = deque(maxlen=400)

    def lines(self, stream: Iterable[Mapping[str, Any]]) -> Iterable[str]:
        """Yield the lines of a build's stream.

        Raises:
            BuildFailed: the stream holds a failure.
        """
        for part in stream:
            if "error" in part:
                raise BuildFailed(self._explain(str(part["error"]).strip()))
            for line in str(part.get("stream") or part.get("status") or "").splitlines():
                if line.strip():
                    self._remember(line.rstrip())
                    yield line.rstrip()

    def _remember(self, line: str) -> None:
        if re.match(r"Step \d+/\d+ : ", line):
            self._step = line
            self._said.clear()
        else:
            self._said.append(line)

    def _explain(self, error: str) -> str:
        number, _, instruction = self._step.partition(" : ")
        where = (
            f"{number.lower()}, {_short(instruction)}" if self._step else "before its first step"
        )
        return "\n".join(
            [f"Image {self._tag} cannot be built ({where}):", *self._failing_lines(), error]
        )

    def _failing_lines(self) -> list[str]:
        plain = [_COLOUR.sub("", line) for line in self._said]
        failing = [line for line in plain if re.match(r"\s*(ERROR|E|error|fatal)\b ?:", line)]
        return failing[-10:] or plain[-10:]


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SHOWN_CHARACTERS = 160


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
