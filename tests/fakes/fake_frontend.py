"""A frontend worker as model containers see it: records messages, sends what a test tells it to.

`FakeStream.send_batch` sends at once, credit or not; `FakeFrontend.predict` asks and waits for a
credit. Credits without hold that nobody wants are given back, unless a test has set `on_message`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from clipper.datatypes import InputType
from clipper.rpc.channel import BUSY_TIMEOUT_S
from clipper.rpc.codec import input_type_to_wire, join_inputs, split_outputs
from clipper.rpc.pb import model_container_pb2 as pb
from clipper.rpc.pb.model_container_pb2_grpc import (
    ModelContainerServiceServicer,
    add_ModelContainerServiceServicer_to_server,
)

MAX_MESSAGE_BYTES = 4 * 1024 * 1024


def server_options(max_message_bytes: int, ping_timeout_s: float) -> list[tuple[str, int]]:
    """Options that let gRPC's own server take a container's pings, one every second."""
    return [
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_timeout_ms", round(1e3 * ping_timeout_s)),
        ("grpc.http2.ping_timeout_ms", round(1e3 * ping_timeout_s)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 100),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
    ]


class FakeStream:
    """One container's stream, as this worker sees it.

    Attributes:
        messages: Everything received after `Register`, in order.
        times: When each of them arrived.
        credits: Received and neither used nor returned.
        ended_at: When the stream was over; None while it is up.
    """

    def __init__(self, register: pb.Register) -> None:
        self.register = register
        self.messages: list[pb.ContainerMessage] = []
        self.times: list[float] = []
        self.replies: dict[int, pb.BatchReply] = {}
        self.credits = 0
        self.hold = False
        self.wanted = 0
        self.draining = False
        self.half_closed = False
        self.ended_at: float | None = None
        self.outbox: asyncio.Queue[pb.FrontendMessage | None] = asyncio.Queue()
        self._ids = itertools.count(1)

    def send(self, **message: Any) -> None:
        self.outbox.put_nowait(pb.FrontendMessage(**message))

    def close(self) -> None:
        """End the stream from the worker's side."""
        self.outbox.put_nowait(None)

    def send_batch(
        self,
        input_type: InputType,
        inputs: Sequence[bytes],
        budget_s: float | Sequence[float] = 10.0,
        demand: pb.Demand | None = None,
    ) -> int:
        budgets = [budget_s] * len(inputs) if isinstance(budget_s, int | float) else list(budget_s)
        data, sizes = join_inputs(inputs)
        batch_id = next(self._ids)
        batch = pb.Batch(
            batch_id=batch_id,
            generation=1,
            input_type=input_type_to_wire(input_type),
            budgets_s=budgets,
            data=data,
            sizes=sizes,
            demand=demand,
        )
        self.credits -= 1
        self.send(batch=batch)
        return batch_id

    def return_unused(self) -> None:
        """Keep the rule of credits without hold: what is not used now is given back."""
        unused = self.credits - self.wanted
        if not self.hold and unused > 0:
            self.credits -= unused
            self.send(credit_return=pb.CreditReturn(credits=unused))

    def received(self, message: pb.ContainerMessage) -> None:
        self.messages.append(message)
        self.times.append(time.monotonic())
        kind = message.WhichOneof("message")
        if kind == "batch_reply":
            self.replies[message.batch_reply.batch_id] = message.batch_reply
            self.credits += message.batch_reply.credits
        elif kind == "credit_grant":
            self.credits += message.credit_grant.credits
            self.hold = message.credit_grant.hold
        elif kind == "draining":
            self.draining = True


class FakeFrontend(ModelContainerServiceServicer):
    """A worker on 127.0.0.1. Use as ``async with FakeFrontend() as frontend``."""

    def __init__(
        self, worker_id: str = "w1", port: int = 0, ping_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        """By default it waits for pings as long as for those of a container that computes."""
        self.worker_id = worker_id
        self.ping_timeout_s = ping_timeout_s
        self.port = port
        self.refuse: pb.Refused | None = None
        self.registrations: list[pb.Register] = []
        self.max_message_bytes = MAX_MESSAGE_BYTES
        self.workers: list[tuple[str, str]] | None = None
        self.streams: list[FakeStream] = []
        self.on_message: Callable[[FakeStream, pb.ContainerMessage], None] | None = None
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = grpc.aio.server(
            options=server_options(self.max_message_bytes, self.ping_timeout_s)
        )
        add_ModelContainerServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def __aenter__(self) -> FakeFrontend:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def worker_list(self) -> pb.WorkerList:
        workers = self.workers
        if workers is None:
            workers = [(self.worker_id, self.address)]
        return pb.WorkerList(workers=[pb.Worker(worker_id=w, address=a) for w, a in workers])

    async def until(self, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Wait for something that a message, a new stream or an ended one makes true."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def stream(self, count: int = 1, timeout_s: float = 20.0) -> FakeStream:
        """Wait for the ``count``-th stream that was registered here."""
        await self.until(lambda: len(self.streams) >= count, timeout_s)
        return self.streams[count - 1]

    async def reply(
        self, stream: FakeStream, batch_id: int, timeout_s: float = 20.0
    ) -> pb.BatchReply:
        await self.until(lambda: batch_id in stream.replies, timeout_s)
        return stream.replies[batch_id]

    async def predict(
        self,
        stream: FakeStream,
        input_type: InputType,
        inputs: Sequence[bytes],
        budget_s: float | Sequence[float] = 10.0,
    ) -> tuple[list[str], dict[int, str]]:
        """Send one batch with a credit; return outputs, and errors by index."""
        stream.wanted += 1
        if not stream.credits and not stream.hold:
            stream.send(demand=pb.Demand(queries=len(inputs), head_budget_s=1.0))
        await self.until(lambda: stream.credits > 0)
        stream.wanted -= 1
        reply = await self.reply(stream, stream.send_batch(input_type, inputs, budget_s))
        outputs = [o.decode() for o in split_outputs(reply.data, reply.sizes)]
        return outputs, {e.index: e.message for e in reply.errors}

    async def Connect(self, request_iterator: Any, context: Any) -> None:  # noqa: N802
        first = await context.read()
        self.registrations.append(first.register)
        if self.refuse is not None:
            await context.write(pb.FrontendMessage(refused=self.refuse))
            await self._notify()
            return
        stream = FakeStream(first.register)
        registered = pb.Registered(
            protocol_version=1,
            worker_id=self.worker_id,
            replica_id=len(self.streams),
            max_message_bytes=self.max_message_bytes,
            worker_list=self.worker_list(),
        )
        await context.write(pb.FrontendMessage(registered=registered))
        self.streams.append(stream)
        reader = asyncio.create_task(self._read(stream, context))
        try:
            await self._notify()
            while (message := await stream.outbox.get()) is not None:
                await context.write(message)
        finally:
            reader.cancel()
            stream.ended_at = time.monotonic()
            await self._notify()

    async def _read(self, stream: FakeStream, context: Any) -> None:
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                stream.received(message)
                if self.on_message is not None:
                    self.on_message(stream, message)
                else:
                    stream.return_unused()
                await self._notify()
            stream.half_closed = True
        finally:
            stream.close()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
