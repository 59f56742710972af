"""One container's call: who it is, whether it may serve, then messages both ways until it ends.

The protocol is protos/clipper/v1; docs/container-protocol.md tells the story.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from typing import NamedTuple, Protocol

from google.protobuf.message import DecodeError

from clipper.clock import Clock
from clipper.datatypes import InputType, VersionedModelId
from clipper.replicas.replica import Replica, ReplicaListener
from clipper.rpc import channel, codec
from clipper.rpc.pb import model_container_pb2 as pb

log = logging.getLogger(__name__)

REGISTER_TIMEOUT_S = 10.0

_LONGEST_NAME = 1000
_LARGEST_REGISTER_BYTES = 1 << 20


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of ours
    """The container may not serve; the reason is sent to it."""

    def __init__(self, reason: str, retryable: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retryable = retryable


class RpcSettings(NamedTuple):
    """Settings of the endpoint."""

    host: str = "127.0.0.1"
    port: int = 7000
    token: str = ""
    """What containers must show; empty: anything will do."""
    max_message_bytes: int = 64 << 20
    """Largest reply a container may send."""


class Registry(ReplicaListener, Protocol):
    """Who admits and keeps replicas; the fleet is the real one."""

    worker_id: str

    async def replica_number(self, model: VersionedModelId, instance_id: str) -> int:
        """Return the container's number among those of its model version."""

    def check(self, model: VersionedModelId, input_type: InputType) -> None:
        """Raise Refusal when the container contradicts the registered model."""

    def workers(self) -> pb.WorkerList:
        """Return the frontend workers that containers should dial."""

    def replica_joined(self, replica: Replica) -> None:
        """A container registered."""

    def replica_left(self, replica: Replica, reason: str) -> None:
        """Its stream ended; whatever was outstanding will not be answered."""


class Stream(Protocol):
    """The call as the session needs it; `rpc.endpoint.GrpcStream` is the real one."""

    @property
    def peer(self) -> str:
        """The container's address, for logs."""

    def send(self, data: bytes) -> None:
        """Send one message."""

    def finish(self) -> None:
        """End the call; the session hears nothing more."""


class ContainerSession:
    """Implements `rpc.endpoint.StreamHandler`. Belongs to the event loop's thread."""

    def __init__(
        self, stream: Stream, registry: Registry, settings: RpcSettings, clock: Clock
    ) -> None:
        self.max_message_bytes = _LARGEST_REGISTER_BYTES
        self._stream = stream
        self._registry = registry
        self._settings = settings
        self._clock = clock
        self._replica: Replica | None = None
        self._admission: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        """What came while the registry was being asked."""
        self._ended = False
        self._closed_early = False
        self._patience = clock.call_later(REGISTER_TIMEOUT_S, self._unregistered)

    @property
    def busy(self) -> bool:
        """Whether the container computes."""
        return self._replica is not None and self._replica.outstanding > 0

    def message(self, data: bytes) -> None:
        """A message came."""
        if self._replica is not None:
            self._receive(self._replica, data)
        elif self._admission is not None:
            self._early.append(data)
        else:
            self._register(data)

    def half_closed(self) -> None:
        """The container sends nothing more."""
        if self._replica is not None:
            self._end("the container closed the stream")
        elif self._admission is not None:
            self._closed_early = True
        else:
            self._refuse(Refusal("the first message must be Register", retryable=False))

    def lost(self, reason: str) -> None:
        """The stream is gone."""
        self._end(reason)

    def _register(self, data: bytes) -> None:
        try:
            message = pb.ContainerMessage.FromString(data)
            if message.WhichOneof("message") != "register":
                raise Refusal("the first message must be Register", retryable=False)
            model, input_type = self._check(message.register)
        except DecodeError as error:
            self._refuse(Refusal(f"not a message of the protocol: {error}", retryable=False))
        except Refusal as refusal:
            self._refuse(refusal)
        else:
            instance_id = message.register.instance_id
            self._admission = asyncio.create_task(self._admit(model, input_type, instance_id))

    def _check(self, register: pb.Register) -> tuple[VersionedModelId, InputType]:
        if register.protocol_version != channel.PROTOCOL_VERSION:
            raise Refusal(
                f"protocol version {register.protocol_version} is not supported; this frontend "
                f"speaks version {channel.PROTOCOL_VERSION}: rebuild the container",
                retryable=False,
            )
        token = self._settings.token.encode()
        if token and not hmac.compare_digest(register.token.encode(), token):
            raise Refusal("wrong token: set CLIPPER_TOKEN to the cluster's", retryable=False)
        for field in ("model_name", "model_version", "instance_id"):
            _check_name(field, getattr(register, field))
        try:
            input_type = codec.input_type_from_wire(register.input_type)
        except codec.WireFault as fault:
            raise Refusal(str(fault), retryable=False) from fault
        model = VersionedModelId(register.model_name, register.model_version)
        self._registry.check(model, input_type)
        return model, input_type

    async def _admit(
        self, model: VersionedModelId, input_type: InputType, instance_id: str
    ) -> None:
        try:
            number = await self._registry.replica_number(model, instance_id)
            if not self._ended:
                self._join(model, input_type, instance_id, number)
        except Exception as error:
            log.exception("a container from %s cannot be admitted", self._stream.peer)
            self._end(f"it cannot be admitted: {error}")

    def _join(
        self, model: VersionedModelId, input_type: InputType, instance_id: str, number: int
    ) -> None:
        self._patience.cancel()
        replica = Replica(model, number, instance_id, input_type, self._registry, self._send)
        self.max_message_bytes = self._settings.max_message_bytes
        registered = pb.Registered(
            protocol_version=channel.PROTOCOL_VERSION,
            worker_id=self._registry.worker_id,
            replica_id=number,
            max_message_bytes=self._settings.max_message_bytes,
            worker_list=self._registry.workers(),
        )
        # No pause between this list of workers and joining those that hear of changes to it.
        self._send(pb.FrontendMessage(registered=registered))
        self._replica = replica
        self._registry.replica_joined(replica)
        for data in self._early:
            self._receive(replica, data)
        if self._closed_early:
            self._end("the container closed the stream")

    def _receive(self, replica: Replica, data: bytes) -> None:
        if self._ended:
            return
        try:
            replica.receive(pb.ContainerMessage.FromString(data))
        except (codec.WireFault, DecodeError) as fault:
            log.error("replica %s #%s: %s", replica.model, replica.replica_id, fault)
            self._end(f"protocol violation: {fault}")
        except Exception as error:
            # A fault of ours must cost this stream, not all streams of its connection.
            log.exception("replica %s #%s: a message failed", replica.model, replica.replica_id)
            self._end(f"a message could not be handled: {error}")

    def _send(self, message: pb.FrontendMessage) -> None:
        if self._ended:
            return
        try:
            data = message.SerializeToString()
        except Exception as error:
            log.exception("a message for %s cannot be encoded", self._stream.peer)
            reason = f"nothing can be sent: {error}"
            # Not from within the dispatcher that is sending. The container dials again.
            self._clock.call_soon(lambda: self._end(reason))
        else:
            self._stream.send(data)

    def _unregistered(self) -> None:
        if self._replica is None and not self._ended:
            self._refuse(Refusal("no Register message within 10 s", retryable=True))

    def _refuse(self, refusal: Refusal) -> None:
        log.warning("refused a container from %s: %s", self._stream.peer, refusal.reason)
        refused = pb.Refused(reason=refusal.reason, retryable=refusal.retryable)
        self._send(pb.FrontendMessage(refused=refused))
        self._end(refusal.reason)

    def _end(self, reason: str) -> None:
        """End the call, once."""
        if self._ended:
            return
        self._ended = True
        self._patience.cancel()
        self._stream.finish()
        if self._replica is not None:
            self._registry.replica_left(self._replica, reason)


def _check_name(field: str, value: str) -> None:
    """Refuse what no registered model can be called, before it gets into keys and log lines."""
    if not value:
        raise Refusal(f"{field} must not be empty", retryable=False)
    if len(value) > _LONGEST_NAME:
        raise Refusal(f"{field} is longer than {_LONGEST_NAME} characters", retryable=False)
    if not value.isprintable() or any(character in value for character in ",:"):
        raise Refusal(f"{field} {value!r} contains ',', ':' or control characters", retryable=False)
