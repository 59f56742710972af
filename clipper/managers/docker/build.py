"""Building, pushing and pulling images, with what went wrong in the error and not only in the log.

The engine answers these calls with status 200 and a stream of JSON objects, whatever happens
afterwards: a failure is an object in the stream (in the original nobody looked at it, spec §10.3).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import docker
import docker.errors
import requests

import clipper
from clipper.errors import ClipperException
from clipper.managers import stock_images
from clipper.managers.docker.engine import TIMEOUTS, Engine
from clipper.managers.docker.transcript import BuildFailed, Transcript

__all__ = [
    "BuildFailed",
    "OnLine",
    "TransferFailed",
    "build_command",
    "build_image",
    "ensure_image",
    "log_line",
    "pip_arguments",
    "pull_image",
    "push_image",
]

PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST")
"""Settings of pip that a build takes over from the client's environment."""

SILENCE_LIMIT_S = 1800
"""No step may say nothing for longer: pip is silent while it loads a large wheel, and so is a
registry that puts a large layer into its store."""

PUSH_ATTEMPTS = 3
"""Counting the first one. The engine itself tries every layer five times, for about a minute."""

OnLine = Callable[[str], None]
"""Called with every line of a build's, push's or pull's log."""

_log = logging.getLogger(__name__)


class TransferFailed(ClipperException):
    """An image could not be pushed or pulled."""

    def __init__(self, msg: str, reason: str) -> None:
        """Keep the text, and apart from it the engine's or registry's own words."""
        super().__init__(msg)
        self.reason = reason


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
        build_args: values of the Dockerfile's ARG lines. Proxies come from Docker's own
            configuration, as with ``docker build``.

    Raises:
        BuildFailed: a step failed; holds the step and the lines that say why.
        EngineAbsent: the engine does not answer.
    """
    transcript = Transcript(tag)
    with engine.calling(f"building image {tag}", SILENCE_LIMIT_S):
        try:
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
        except docker.errors.APIError as error:  # before the first step: the Dockerfile is wrong
            raise transcript.failure(str(error.explanation or error)) from error
        except TIMEOUTS as error:
            if not transcript.begun:
                raise
            silence = f"nothing was heard for {SILENCE_LIMIT_S} s"
            raise transcript.failure(silence) from error
    with engine.calling(f"looking for image {tag}"):
        return str(engine.client.images.get(tag).id)


def pip_arguments(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return pip's settings of the client's environment as build arguments.

    Directories of this machine are left out: a build does not see them.
    """
    arguments = {}
    for name in PIP_VARIABLES:
        words = environment.get(name, "").split()
        if name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
            words = [word for word in words if re.match(r"https?://", word)]
        if words:
            arguments[name] = " ".join(words)
    return arguments


def push_image(
    engine: Engine,
    name: str,
    *,
    on_line: OnLine = log_line,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Push an image, with the credentials of Docker's own configuration.

    Only failures that may pass are tried again: timeouts, broken connections, a registry that is
    overloaded.

    Args:
        name: repository and tag.
        pause: waits for so many seconds between two attempts.

    Raises:
        TransferFailed: refused, no such registry, or still failing after some attempts.
        EngineAbsent: the engine does not answer.
    """
    for attempt in range(PUSH_ATTEMPTS):
        try:
            with _transferring(engine, "pushed", name) as api:
                _follow(api.push(name, stream=True, decode=True), on_line)
            return
        except TransferFailed as error:
            if attempt + 1 == PUSH_ATTEMPTS or not _may_pass(error.reason):
                raise
            on_line(f"{error.reason}: trying again")
            pause(2.0**attempt)


def pull_image(
    engine: Engine, name: str, *, on_line: OnLine = log_line, silence_s: float = SILENCE_LIMIT_S
) -> str:
    """Pull an image, with the credentials of Docker's own configuration, and return its id.

    Args:
        name: repository, and tag or digest; without either it is ``latest``.
        silence_s: gives up when nothing has been heard for so long.

    Raises:
        TransferFailed: refused, or there is no such image or registry.
        EngineAbsent: the engine does not answer.
    """
    with _transferring(engine, "pulled", name, silence_s) as api:
        _follow(api.pull(name, stream=True, decode=True), on_line)
    with engine.calling(f"looking for image {name}"):
        return str(engine.client.images.get(name).id)


def ensure_image(engine: Engine, name: str, *, on_line: OnLine = log_line) -> str:
    """Return the id of an image that is on the engine, or is pulled now.

    Raises:
        ClipperException: neither; for Clipper's own images it names the command that builds them.
        EngineAbsent: the engine does not answer.
    """
    try:
        with engine.calling(f"looking for image {name}"):
            return str(engine.client.images.get(name).id)
    except docker.errors.NotFound:
        on_line(f"Image {name} is not on this engine: pulling it")
    try:
        return pull_image(engine, name, on_line=on_line)
    except TransferFailed as error:
        command = build_command(name)
        if command is None:
            raise
        raise TransferFailed(
            f"Image {name} is neither on this Docker engine nor can it be pulled "
            f"({error.reason}). `{command}` makes it here",
            error.reason,
        ) from error


_STOCK_NAME = re.compile(r"(?:(?P<registry>.+)/)?(?P<name>[^/:]+)(?::(?P<tag>[^/:]+))?")
_BASE_NAME = re.compile(r"base(\d)(\d+)-container")
_FAMILY_OF = {
    stock_images.FRONTEND_IMAGE: "frontend",
    stock_images.MANAGEMENT_IMAGE: "frontend",
    stock_images.PROMETHEUS_IMAGE: "prometheus",
}


def build_command(image: str) -> str | None:
    """Return the command that makes one of Clipper's own images here; None: it is not one."""
    parts = _STOCK_NAME.fullmatch(image)
    if parts is None or parts["tag"] != clipper.__version__:
        return None
    stock = stock_images.parse_stock_image(image)
    if stock is not None:
        options = f" --python {stock.python[0]}.{stock.python[1:]}" if stock.python else ""
        words = stock.family.name + options
    elif base := _BASE_NAME.fullmatch(parts["name"]):
        words = f"base --python {base[1]}.{base[2]}"
    elif parts["name"] in _FAMILY_OF:
        words = _FAMILY_OF[parts["name"]]
    else:
        return None
    if parts["registry"] and parts["registry"] != stock_images.REGISTRY:
        words += f" --registry {parts['registry']}"
    return f"clipper images build {words}"


class _PatientClient(docker.APIClient):
    """Waits for every answer and every piece of it as long as it was told, and no longer.

    The Docker client pushes with the limit of short calls, and pulls with none at all.
    """

    def post(self, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send a request with this client's own time limit."""
        return super().post(url, **{**options, "timeout": self.timeout})


@contextlib.contextmanager
def _transferring(
    engine: Engine, verb: str, name: str, silence_s: float = SILENCE_LIMIT_S
) -> Iterator[docker.APIClient]:
    """Give a client for one push or pull, and tell its failures as `TransferFailed`."""
    silence = f"nothing was heard for {silence_s:.0f} s (timeout)"
    with engine.calling(f"moving image {name}"):
        api = _PatientClient(**engine.connection)
    api.timeout = int(silence_s)
    try:
        with engine.calling(f"moving image {name}"), contextlib.closing(api):
            try:
                yield api
            except docker.errors.APIError as error:
                raise _failure(verb, name, str(error.explanation or error)) from error
            except TIMEOUTS as error:
                raise _failure(verb, name, silence) from error
            except requests.exceptions.ConnectionError as error:
                # Inside a stream a read timeout arrives under this name.
                if "timed out" not in str(error).lower():
                    raise
                raise _failure(verb, name, silence) from error
    except _StreamError as error:
        raise _failure(verb, name, str(error)) from error


class _StreamError(Exception):
    """The stream of a push or pull holds a failure."""


def _follow(stream: Iterable[Mapping[str, Any]], on_line: OnLine) -> None:
    """Pass the stages of a push or pull on, without the progress of each layer's bytes."""
    error = ""
    for part in stream:  # to its end, or the connection would stay open
        error = error or str(part.get("error", "")).strip()
        status = str(part.get("status", ""))
        if status and "progress" not in part:
            on_line(f"{part['id']}: {status}" if part.get("id") else status)
    if error:
        raise _StreamError(error)


_TRANSIENT = re.compile(
    r"timeout|timed out|temporar|connection reset|broken pipe|\bEOF\b|too many requests"
    r"|toomanyrequests|\b(429|500|502|503|504)\b|internal server error|service unavailable",
    re.IGNORECASE,
)
_LASTING = re.compile(r"no such host|connection refused|denied|unauthorized", re.IGNORECASE)


def _may_pass(words: str) -> bool:
    return bool(_TRANSIENT.search(words)) and not _LASTING.search(words)


def _failure(verb: str, name: str, words: str) -> TransferFailed:
    advice = next((text for pattern, text in _ADVICE if pattern.search(words)), "")
    reason = words.rstrip(".")
    text = f"Image {name} cannot be {verb}: {reason}. {advice.format(registry=_registry(name))}"
    return TransferFailed(text.rstrip(". "), reason)


def _registry(name: str) -> str:
    first, slash, _ = name.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


_ADVICE = (
    (
        re.compile(r"denied|unauthorized|authentication required|no basic auth", re.IGNORECASE),
        "Look whether the name is right, and log in: `docker login {registry}`",
    ),
    (
        re.compile(r"HTTP response to HTTPS client"),
        "The registry speaks plain HTTP: name {registry} in the engine's `insecure-registries`",
    ),
    (
        re.compile(r"no such host|connection refused|no route to host|i/o timeout", re.IGNORECASE),
        "Look whether the registry's name is right and whether the engine's machine reaches it",
    ),
)
