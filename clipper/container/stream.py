"""One stream to one frontend worker: dial, register, then pass messages both ways.

Lives on the I/O loop. Knows nothing of credits, batches or other workers.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Any, Final, Protocol

import grpc
import grpc.aio

from clipper.rpc.channel import CONNECT_METHOD, client_options
from clipper.rpc.pb import model_container_pb2 as pb

_log = logging.getLogger(__name__)

_EOF: Final = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in grpc-stubs
_REGISTER_TIMEOUT_S = 10.0
_GOODBYE_TIMEOUT_S = 2.0


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

    def __init__(self, number: int, address: str, owner: StreamOwner) -> None:
        self.number = number
        self.address = address
        self.registered = pb.Registered()
        self.dismissed = False
        self._owner = owner
        self._outbox: asyncio.Queue[pb.ContainerMessage | None] = asyncio.Queue()
        self._finishing = False
        self._call: Any = None

    @property
    def worker_id(self) -> str:
        """The worker at the other end; empty until registered."""
        return str(self.registered.worker_id)

    def send(self, message: pb.ContainerMessage) -> None:
        """Queue a message; nothing happens when the stream has ended."""
        if not self._finishing:
            self._outbox.put_nowait(message)

    def finish(self) -> None:
        """Half-close after what is queued; the stream ends when the worker has closed too."""
        if self._finishing:
            return
        self._finishing = True
        self._outbox.put_nowait(None)
        # A worker that never closes its half must not keep the container.
        asyncio.get_running_loop().call_later(_GOODBYE_TIMEOUT_S, self._cancel)

    async def run(self, register: pb.Register) -> StreamEnd:
        """Dial, register and serve until the stream ends; never raises for the network's sake."""
        channel = grpc.aio.insecure_channel(self.address, options=client_options())
        try:
            connect: Any = channel.stream_stream(
                CONNECT_METHOD,
                request_serializer=pb.ContainerMessage.SerializeToString,
                response_deserializer=pb.FrontendMessage.FromString,
            )
            self._call = connect()
            return await self._register_and_serve(register)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            return self._failed(error)
        except TimeoutError:
            _log.warning("%s: no answer to the registration", self.address)
            return StreamEnd.UNREACHABLE
        finally:
            self._finishing = True
            await channel.close(None)

    async def _register_and_serve(self, register: pb.Register) -> StreamEnd:
        async with asyncio.timeout(_REGISTER_TIMEOUT_S):
            await self._call.write(pb.ContainerMessage(register=register))
            first = await self._call.read()
        if first is _EOF:
            return self._failed(None)
        kind = first.WhichOneof("message")
        if kind == "refused":
            return self._refused(first.refused)
        if kind != "registered":
            _log.error("%s: answered the registration with %s", self.address, kind)
            return StreamEnd.UNREACHABLE
        self.registered = first.registered
        await self._serve()
        return StreamEnd.DISMISSED if self.dismissed else StreamEnd.LOST

    async def _serve(self) -> None:
        writer = asyncio.create_task(self._write(), name=f"write {self.address}")
        self._owner.opened(self)
        try:
            while (message := await self._call.read()) is not _EOF:
                self._owner.received(self, message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self._failed(error)
        except asyncio.CancelledError:
            # Reading a call that _cancel has ended raises this too; only our own task's passes.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        finally:
            self._owner.closed(self)
            writer.cancel()
            await asyncio.wait([writer])

    async def _write(self) -> None:
        try:
            while (message := await self._outbox.get()) is not None:
                await self._call.write(message)
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The reader learns of the same end and is the one to report it.
            pass
        except Exception:
            # A reply that was not sent would be missed for ever: a new stream starts clean.
            _log.exception("%s: a message could not be sent", self.address)
            self._cancel()

    def _cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()

    def _refused(self, refused: pb.Refused) -> StreamEnd:
        level = logging.INFO if refused.retryable else logging.ERROR
        _log.log(level, "%s refused this container: %s", self.address, refused.reason)
        return StreamEnd.UNREACHABLE if refused.retryable else StreamEnd.REFUSED

    def _failed(self, error: BaseException | None) -> StreamEnd:
        detail = error.details() if isinstance(error, grpc.aio.AioRpcError) else error
        _log.info("%s: connection ended: %s", self.address, detail or "closed by the worker")
        return StreamEnd.UNREACHABLE
