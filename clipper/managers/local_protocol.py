"""Requests to the supervisor: one JSON object in a line each way over its Unix socket.

The socket's directory is readable by its owner only; that is the whole of the access control.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipper.errors import ClipperException
from clipper.managers.local_plan import ServiceSpec
from clipper.managers.local_services import Services

_MAX_LINE_BYTES = 16 * 1024 * 1024
_RECEIVE_LIMIT_S = 10.0

_log = logging.getLogger(__name__)


class SupervisorAbsent(ClipperException):
    """Nobody listens on the supervisor's socket."""


def request(path: Path, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send one request and return the reply.

    Raises:
        SupervisorAbsent: there is no supervisor.
        ClipperException: it refused, or did not answer within ``timeout_s``.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(message).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
        except TimeoutError as error:
            raise ClipperException(
                f"The supervisor did not answer '{message['op']}' within {timeout_s:.0f} s; "
                "see logs/supervisor.log in the cluster's state directory."
            ) from error
        except OSError as error:
            raise SupervisorAbsent(f"No supervisor listens on {path}: {error}") from error
    if not line:
        raise SupervisorAbsent(f"The supervisor ended during '{message['op']}'.")
    reply: dict[str, Any] = json.loads(line)
    if "error" in reply:
        raise ClipperException(reply["error"])
    return reply


async def serve_requests(
    listener: socket.socket, services: Services, stop: asyncio.Event
) -> asyncio.Server:
    """Answer requests on the socket; ``stop`` is set once a stop request was carried out."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        op = ""
        try:
            line = await asyncio.wait_for(reader.readline(), _RECEIVE_LIMIT_S)
            if line:
                message = json.loads(line)
                op = message["op"]
                writer.write(json.dumps(await _answer(services, message)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, TimeoutError, ValueError, KeyError) as error:
            _log.warning("request %s was dropped: %r", op, error)
        finally:
            writer.close()
            if op == "stop":
                stop.set()

    listener.setblocking(False)
    return await asyncio.start_unix_server(handle, sock=listener, limit=_MAX_LINE_BYTES)


async def _answer(services: Services, message: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return await _carry_out(services, message)
    except ClipperException as error:
        return {"error": error.msg}
    except Exception as error:
        _log.exception("request %s failed", message["op"])
        return {"error": f"The supervisor failed: {error!r}"}


async def _carry_out(services: Services, message: Mapping[str, Any]) -> dict[str, Any]:
    match message["op"]:
        case "status":
            return services.status()
        case "apply":
            await services.apply(ServiceSpec.from_json(message["service"]))
        case "scale":
            return {"known": await services.scale(message["role"], message["replicas"])}
        case "remove":
            await services.remove(message["roles"])
        case "stop":
            await services.stop(message["graceful"])
        case other:
            return {"error": f"Unknown request: {other}"}
    return {}
