"""The gRPC endpoint that model containers dial, on the worker's own event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, cast

from clipper.clock import Cancellable, Clock
from clipper.replicas.session import ContainerSession, Registry, RpcSettings
from clipper.rpc import channel
from clipper.rpc.endpoint import GrpcStream, StreamHandler
from clipper.rpc.frames import Http2Error
from clipper.rpc.http2 import Http2Connection
from clipper.rpc.liveness import LOOK_S, Liveness, Verdict

log = logging.getLogger(__name__)

_MOST_UNSENT_BYTES = 256 << 20
"""A client that asks for answers, such as pings, and reads none is given up here. Flow control
keeps what waits of an honest one far below."""


class _ContainerConnection(asyncio.Protocol):
    """One container's TCP connection."""

    def __init__(
        self,
        connections: set[_ContainerConnection],
        accept: Callable[[GrpcStream, str], StreamHandler | None],
        clock: Clock,
    ) -> None:
        self.http2: Http2Connection
        self._connections = connections
        self._accept = accept
        self._clock = clock
        self._look: Cancellable | None = None
        self._liveness = Liveness(clock.now())
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derive from nothing
        peer = _address(transport.get_extra_info("peername"))
        channel.probe_dead_hosts(transport.get_extra_info("socket"))
        self._connections.add(self)
        self.http2 = Http2Connection(self._transport.write, self._accept, peer)
        # One timer each: pings of many containers must not go out in one moment.
        self._look = self._clock.call_later(LOOK_S, self._look_again)

    def data_received(self, data: bytes) -> None:
        self._liveness.heard(self._clock.now())
        try:
            self.http2.feed(data)
        except Http2Error as error:
            log.warning("%s does not speak the protocol: %s", self.http2.peer, error)
            self._transport.close()
        if self._transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            log.warning("%s does not read what it is sent", self.http2.peer)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._look is not None:
            self._look.cancel()
        self.http2.lost("the connection was lost")

    def _look_again(self) -> None:
        """Ask for a sign of life after a silence; without one, give the connection up."""
        streams = self.http2.streams.values()
        busy = any(stream.handler is not None and stream.handler.busy for stream in streams)
        timeout_s = channel.BUSY_TIMEOUT_S if busy else channel.KEEPALIVE_TIMEOUT_S
        verdict = self._liveness.look(self._clock.now(), timeout_s)
        if verdict is Verdict.PING:
            self.http2.ping()
        elif verdict is Verdict.DEAD:
            log.warning("%s shows no sign of life", self.http2.peer)
            self.abort()
        self._look = self._clock.call_later(LOOK_S, self._look_again)

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()


class RpcServer:
    """The listening gRPC server of one worker."""

    def __init__(self, registry: Registry, settings: RpcSettings, clock: Clock) -> None:
        self.port = 0
        self._registry = registry
        self._settings = settings
        self._clock = clock
        self._connections: set[_ContainerConnection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        settings = self._settings
        address = channel.host_port(settings.host, settings.port)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            # Never SO_REUSEPORT: a second cluster on a taken port must fail, not share it.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((settings.host, settings.port))
        except OSError as error:
            listener.close()
            raise OSError(f"cannot listen on {address}: {error}") from error
        self._server = await asyncio.get_running_loop().create_server(
            self._connect, sock=listener, backlog=1024
        )
        self.port = listener.getsockname()[1]

    async def stop(self, grace_s: float) -> None:
        """Stop listening; streams get ``grace_s`` to end."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.http2.go_away()
        give_up_s = self._clock.now() + grace_s
        while self._in_use() and self._clock.now() < give_up_s:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()

    def _in_use(self) -> bool:
        return any(connection.http2.streams for connection in self._connections)

    def _connect(self) -> _ContainerConnection:
        return _ContainerConnection(self._connections, self._accept, self._clock)

    def _accept(self, stream: GrpcStream, path: str) -> StreamHandler | None:
        if path != channel.CONNECT_METHOD:
            return None
        return ContainerSession(stream, self._registry, self._settings, self._clock)


def _address(peer: Any) -> str:
    return channel.host_port(str(peer[0]), peer[1]) if peer else "an unknown address"
