"""The gRPC endpoint that model containers dial (protos/clipper/v1; docs/container-protocol.md)."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Protocol

import grpc
from google.protobuf.message import DecodeError

from clipper.datatypes import InputType, VersionedModelId
from clipper.replicas.replica import Replica, ReplicaListener
from clipper.rpc import channel, codec
from clipper.rpc.pb import model_container_pb2 as pb
from clipper.rpc.pb import model_container_pb2_grpc as pb_grpc

log = logging.getLogger(__name__)

_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]

REGISTER_TIMEOUT_S = 10.0

_LONGEST_NAME = 1000


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


class ModelContainerService(pb_grpc.ModelContainerServiceServicer):
    """One Connect call for each container."""

    def __init__(self, registry: Registry, settings: RpcSettings) -> None:
        self._registry = registry
        self._settings = settings

    async def Connect(  # noqa: N802 - the name in the protocol
        self, request_iterator: AsyncIterator[pb.ContainerMessage], context: Any
    ) -> None:
        """Register the container, then carry messages both ways until either side ends."""
        try:
            register = await self._first_message(context)
            replica = await self._admit(register)
        except Refusal as refusal:
            log.warning("refused a container from %s: %s", context.peer(), refusal.reason)
            refused = pb.Refused(reason=refusal.reason, retryable=refusal.retryable)
            await context.write(pb.FrontendMessage(refused=refused))
            return
        await self._serve(replica, context)

    async def _first_message(self, context: Any) -> pb.Register:
        try:
            message = await asyncio.wait_for(context.read(), REGISTER_TIMEOUT_S)
        except TimeoutError:
            raise Refusal("no Register message within 10 s", retryable=True) from None
        except DecodeError as error:
            raise Refusal(f"not a message of the protocol: {error}", retryable=False) from error
        if message is _EOF or message.WhichOneof("message") != "register":
            raise Refusal("the first message must be Register", retryable=False)
        register: pb.Register = message.register
        return register

    async def _admit(self, register: pb.Register) -> Replica:
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
        number = await self._registry.replica_number(model, register.instance_id)
        return Replica(model, number, register.instance_id, input_type, self._registry)

    async def _serve(self, replica: Replica, context: Any) -> None:
        registered = pb.Registered(
            protocol_version=channel.PROTOCOL_VERSION,
            worker_id=self._registry.worker_id,
            replica_id=replica.replica_id,
            max_message_bytes=self._settings.max_message_bytes,
            worker_list=self._registry.workers(),
        )
        # No pause between this list of workers and joining those that hear of changes to it.
        replica.outbox.put_nowait(pb.FrontendMessage(registered=registered))
        writer = asyncio.create_task(self._write(replica, context))
        reader = asyncio.current_task()
        writer.add_done_callback(lambda _: reader.cancel() if reader and _failure(writer) else None)
        reason = "the stream broke"
        try:
            self._registry.replica_joined(replica)
            while (message := await context.read()) is not _EOF:
                replica.receive(message)
            reason = "the container closed the stream"
        except (codec.WireFault, DecodeError) as fault:
            reason = f"protocol violation: {fault}"
            log.error("replica %s #%s: %s", replica.model, replica.replica_id, fault)
        except asyncio.CancelledError:
            # grpc.aio cancels the handler when the peer or the server goes away.
            reason = "the connection was lost"
            if not (failure := _failure(writer)):
                raise
            # Returning ends the stream, and the container dials again.
            reason = f"nothing can be sent: {failure}"
            log.error(
                "replica %s #%s: writing failed",
                replica.model,
                replica.replica_id,
                exc_info=failure,
            )
        finally:
            writer.cancel()
            self._registry.replica_left(replica, reason)

    @staticmethod
    async def _write(replica: Replica, context: Any) -> None:
        while True:
            message = await replica.outbox.get()
            try:
                await context.write(message)
            except (asyncio.InvalidStateError, grpc.RpcError):
                # The stream is ending; the reading side notices and cleans up.
                return


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    """Return what ended a task that should have gone on."""
    return None if not task.done() or task.cancelled() else task.exception()


def _check_name(field: str, value: str) -> None:
    """Refuse what no registered model can be called, before it gets into keys and log lines."""
    if not value:
        raise Refusal(f"{field} must not be empty", retryable=False)
    if len(value) > _LONGEST_NAME:
        raise Refusal(f"{field} is longer than {_LONGEST_NAME} characters", retryable=False)
    if not value.isprintable() or any(character in value for character in ",:"):
        raise Refusal(f"{field} {value!r} contains ',', ':' or control characters", retryable=False)


class RpcServer:
    """The listening gRPC server of one worker."""

    def __init__(self, registry: Registry, settings: RpcSettings) -> None:
        self._settings = settings
        self._server = grpc.aio.server(options=channel.server_options(settings.max_message_bytes))
        service = ModelContainerService(registry, settings)
        pb_grpc.add_ModelContainerServiceServicer_to_server(service, self._server)  # type: ignore[no-untyped-call]
        self.port = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        address = channel.host_port(self._settings.host, self._settings.port)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Stop listening; streams get ``grace_s`` to end."""
        await self._server.stop(grace_s)
