"""A model container that answers batches as a test tells it to, with the generated stubs only.

Runs on gRPC's own threads inside the test's process; close it when done.
"""

from __future__ import annotations

import itertools
import queue
import struct
import threading
import uuid
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import grpc

from clipper.rpc.pb import model_container_pb2 as pb
from clipper.rpc.pb import model_container_pb2_grpc as pb_grpc
from tests.fakes.grpc_options import client_options

Behaviour = Callable[["HostileContainer", pb.Batch], None]

LOADED_TIMEOUT_S = 20.0


def honest(container: HostileContainer, batch: pb.Batch) -> None:
    """Answer each input with its first number times two."""
    container.send(batch_reply=honest_reply(batch))


def honest_reply(batch: pb.Batch) -> pb.BatchReply:
    """Twice the first number of each input, as text."""
    ends = list(itertools.accumulate(batch.sizes))
    parts = [batch.data[end - size : end] for end, size in zip(ends, batch.sizes, strict=True)]
    outputs = [str(2 * struct.unpack_from("<d", part)[0]).encode() for part in parts]
    return reply_with(batch, outputs)


def reply_with(batch: pb.Batch, outputs: Iterable[bytes], **fields: Any) -> pb.BatchReply:
    """Return a reply with these outputs, and a new credit unless told otherwise."""
    outputs = list(outputs)
    defaults = {"batch_id": batch.batch_id, "credits": 1, "compute_s": 1e-3}
    reply = pb.BatchReply(**{**defaults, **fields})
    reply.data = b"".join(outputs)
    reply.sizes.extend(map(len, outputs))
    return reply


class HostileContainer:
    """``with HostileContainer(address, "m", "1", behaviour) as container: …``

    Attributes:
        messages: what the frontend sent, but for batches.
        batches: how many batches came.
        ended: set when the stream is over, for whatever reason.
    """

    def __init__(
        self,
        address: str,
        name: str = "m",
        version: str = "1",
        behaviour: Behaviour = honest,
        credits: int = 2,
        **register: Any,
    ) -> None:
        fields = {
            "protocol_version": 1,
            "model_name": name,
            "model_version": version,
            "input_type": pb.INPUT_TYPE_DOUBLES,
            "instance_id": uuid.uuid4().hex,
        }
        self.messages: list[pb.FrontendMessage] = []
        self.batches = 0
        self.ended = threading.Event()
        self.answered = threading.Event()
        """Set by the first message of the frontend."""
        self._behaviour = behaviour
        self._credits = credits
        self._outbox: queue.SimpleQueue[pb.ContainerMessage | None] = queue.SimpleQueue()
        self.send(register=pb.Register(**{**fields, **register}))
        options = [*client_options(), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> HostileContainer:
        self._thread.start()
        assert self.answered.wait(LOADED_TIMEOUT_S), "the frontend did not answer"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._outbox.put(None)
        self._channel.close()
        self._thread.join(LOADED_TIMEOUT_S)

    def send(self, **message: Any) -> None:
        """Send one message of the protocol."""
        self._outbox.put(pb.ContainerMessage(**message))

    @property
    def refusal(self) -> str | None:
        """Why the frontend refused the container."""
        return next((m.refused.reason for m in self.messages if m.HasField("refused")), None)

    def _run(self) -> None:
        stub = pb_grpc.ModelContainerServiceStub(self._channel)  # type: ignore[no-untyped-call]
        try:
            for message in stub.Connect(iter(self._outbox.get, None), wait_for_ready=True):
                self._take(message)
        except (grpc.RpcError, ValueError):
            pass  # the stream broke, or the test closed the channel
        self.ended.set()
        self.answered.set()

    def _take(self, message: pb.FrontendMessage) -> None:
        if message.HasField("batch"):
            self.batches += 1
            self._behaviour(self, message.batch)
            return
        self.messages.append(message)
        if message.HasField("registered") and self._credits:
            self.send(credit_grant=pb.CreditGrant(credits=self._credits, hold=True))
        self.answered.set()
