"""One stream to one frontend worker: dial, register, then pass messages both ways.

Lives on the I/O loop. Knows nothing of credits, batches or other workers.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Protocol, cast

from google.protobuf.message import DecodeError

from clipper.rpc.channel import CONNECT_METHOD, probe_dead_hosts
from clipper.rpc.frames import Http2Error
from clipper.rpc.http2_call import Http2Call
from clipper.rpc.liveness import LOOK_S, Liveness, Verdict
from clipper.rpc.pb import model_container_pb2 as pb

_log = logging.getLogger(__name__)

_REGISTER_TIMEOUT_S = 10.0
_GOODBYE_TIMEOUT_S = 2.0
_LARGEST_MESSAGE_BYTES = (1 << 31) - 1
"""A worker bounds its batches itself."""


class StreamEnd(enum.Enum):
    """Why a stream is over, which decides when the worker is dialled again."""

    UNREACHABLE = "never registered"
    LOST = "ended after it was registered"
    REFUSED = "refused, and dialling again cannot help"
    DISMISSED = "the worker does not want the container back"


class StreamOwner(Protocol):
    """Who is told what happens on a stream; called on the I/O loop and must not block."""

    def opened(self, stream: WorkerStream) -> None:
        """The worker has registered the container."""

    def received(self, stream: WorkerStream, message: pb.FrontendMessage) -> None:
        """A message came in, in order."""

    def closed(self, stream: WorkerStream) -> None:
        """The stream has ended; called once, and only after `opened`."""


class WorkerStream:
    """One attempt at one address; never used again after `run` has returned.

    Attributes:
        number: Unique among the streams of this process.
        registered: The worker's answer; set before the owner hears of the stream.
        dismissed: Set by the owner when the worker does not want the container back.
    """

    max_message_bytes = _LARGEST_MESSAGE_BYTES
    busy = False
    """A worker's event loop has no excuse."""

    def __init__(self, number: int, address: str, owner: StreamOwner) -> None:
        self.number = number
        self.address = address
        self.registered = pb.Registered()
        self.dismissed = False
        self._owner = owner
        self._connection: _WorkerConnection | None = None
        self._answered = asyncio.get_running_loop().create_future()
        """Resolved by the worker's first message."""
        self._ended = asyncio.get_running_loop().create_future()
        """Resolved with the reason when the call is over."""
        self._finishing = False

    @property
    def worker_id(self) -> str:
        """The worker at the other end; empty until registered."""
        return str(self.registered.worker_id)

    def send(self, message: pb.ContainerMessage) -> None:
        """Send a message; nothing happens when the stream has ended."""
        if self._finishing or self._connection is None:
            return
        try:
            data = message.SerializeToString()
        except Exception:
            # A reply that was not sent would be missed for ever: a new stream starts clean.
            _log.exception("%s: a message cannot be sent", self.address)
            self._connection.abort()
        else:
            self._connection.call.stream.send(data)

    def finish(self) -> None:
        """Half-close after what was sent; the stream ends when the worker has closed too."""
        if self._finishing or self._connection is None:
            return
        self._finishing = True
        self._connection.call.stream.close_sending()
        # A worker that never closes its half must not keep the container.
        asyncio.get_running_loop().call_later(_GOODBYE_TIMEOUT_S, self._connection.abort)

    async def run(self, register: pb.Register) -> StreamEnd:
        """Dial, register and serve until the stream ends; never raises for the network's sake."""
        try:
            async with asyncio.timeout(_REGISTER_TIMEOUT_S):
                self._connection = await _dial(self.address, self)
                self.send(pb.ContainerMessage(register=register))
                first: pb.FrontendMessage | None = await self._answered
        except OSError as error:
            # A timeout, too, is one of these.
            return self._failed(str(error) or "no answer to the registration")
        else:
            return await self._serve(first)
        finally:
            self._finishing = True
            if self._connection is not None:
                self._connection.abort()

    async def _serve(self, first: pb.FrontendMessage | None) -> StreamEnd:
        if first is None:
            return self._failed(self._ended.result())
        kind = first.WhichOneof("message")
        if kind == "refused":
            return self._refused(first.refused)
        if kind != "registered":
            _log.error("%s: answered the registration with %s", self.address, kind)
            return StreamEnd.UNREACHABLE
        try:
            self._failed(await self._ended)
        finally:
            self._owner.closed(self)
        return StreamEnd.DISMISSED if self.dismissed else StreamEnd.LOST

    def message(self, data: bytes) -> None:
        """A message of the worker came."""
        message = pb.FrontendMessage.FromString(data)
        if self._answered.done():
            if self.worker_id:
                self._owner.received(self, message)
            return
        self._answered.set_result(message)
        if message.WhichOneof("message") == "registered":
            self.registered = message.registered
            # Here and not in `run`, so that nothing that comes behind it is heard before.
            self._owner.opened(self)

    def half_closed(self) -> None:
        """The worker sends nothing more, and a call without trailers has no other end."""
        self.lost("closed by the worker")

    def lost(self, reason: str) -> None:
        """The call is over."""
        if not self._answered.done():
            self._answered.set_result(None)
        if not self._ended.done():
            self._ended.set_result(reason)

    def _refused(self, refused: pb.Refused) -> StreamEnd:
        level = logging.INFO if refused.retryable else logging.ERROR
        _log.log(level, "%s refused this container: %s", self.address, refused.reason)
        return StreamEnd.UNREACHABLE if refused.retryable else StreamEnd.REFUSED

    def _failed(self, reason: str) -> StreamEnd:
        _log.info("%s: connection ended: %s", self.address, reason)
        return StreamEnd.UNREACHABLE


class _WorkerConnection(asyncio.Protocol):
    """The TCP connection of one stream."""

    def __init__(self, address: str, stream: WorkerStream) -> None:
        self.call: Http2Call
        self._address = address
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._liveness = Liveness(self._loop.time())
        self._look: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derive from nothing
        probe_dead_hosts(transport.get_extra_info("socket"))
        self.call = Http2Call(self._transport.write, self._address, CONNECT_METHOD, self._stream)
        self._look = self._loop.call_later(LOOK_S, self._look_again)

    def data_received(self, data: bytes) -> None:
        self._liveness.heard(self._loop.time())
        try:
            self.call.feed(data)
        except (Http2Error, DecodeError) as error:
            _log.error("%s does not speak the protocol: %s", self._address, error)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        self.call.lost(str(exc) if exc else "the connection was lost")

    def abort(self) -> None:
        """End the connection now; nothing happens when it has ended."""
        self._transport.abort()

    def _look_again(self) -> None:
        verdict = self._liveness.look(self._loop.time())
        if verdict is Verdict.PING:
            self.call.ping()
        elif verdict is Verdict.DEAD:
            _log.warning("%s shows no sign of life", self._address)
            self.abort()
        self._look = self._loop.call_later(LOOK_S, self._look_again)


async def _dial(address: str, stream: WorkerStream) -> _WorkerConnection:
    """Connect to ``host:port``, IPv6 hosts in brackets.

    Raises:
        OSError: nobody answers there, or it is no address.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise OSError(f"{address!r} is not of the form host:port")
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: _WorkerConnection(address, stream), host.strip("[]"), int(port)
    )
    return connection
