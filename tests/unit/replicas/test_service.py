"""Who is admitted on Connect, and what becomes of the stream; no sockets."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from clipper.datatypes import InputType, VersionedModelId
from clipper.replicas.replica import BatchReply, Replica
from clipper.replicas.service import ModelContainerService, Refusal, RpcSettings
from clipper.rpc.channel import PROTOCOL_VERSION
from clipper.rpc.pb import model_container_pb2 as pb


class Context:
    """The server's end of a stream, fed by the test."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[object] = asyncio.Queue()
        self.written: list[pb.FrontendMessage] = []

    async def read(self) -> object:
        return await self.incoming.get()

    async def write(self, message: pb.FrontendMessage) -> None:
        self.written.append(message)

    def peer(self) -> str:
        return "test"


class Registry:
    worker_id = "qf-0"

    def __init__(self) -> None:
        self.joined: list[Replica] = []
        self.reasons: list[str] = []
        self.refusal: Refusal | None = None

    async def replica_number(self, model: VersionedModelId, instance_id: str) -> int:
        return 5

    def check(self, model: VersionedModelId, input_type: InputType) -> None:
        if self.refusal:
            raise self.refusal

    def workers(self) -> pb.WorkerList:
        return pb.WorkerList(workers=[pb.Worker(worker_id="qf-0", address="here:7000")])

    def replica_joined(self, replica: Replica) -> None:
        self.joined.append(replica)

    def replica_left(self, replica: Replica, reason: str) -> None:
        self.reasons.append(reason)

    def replica_pumped(self, replica: Replica) -> None:
        replica.send_demand(1, 0.5)

    def replica_answered(self, replica: Replica, batch_id: int, reply: BatchReply) -> None:
        raise AssertionError("no batch was sent")

    def replica_draining(self, replica: Replica) -> None:
        pass


def register(**changes: object) -> pb.ContainerMessage:
    fields = {
        "protocol_version": PROTOCOL_VERSION,
        "token": "secret",
        "model_name": "m",
        "model_version": "1",
        "input_type": pb.INPUT_TYPE_DOUBLES,
        "instance_id": "instance",
        **changes,
    }
    return pb.ContainerMessage(register=pb.Register(**fields))  # type: ignore[arg-type]


def connect(
    registry: Registry, *messages: object, token: str = "secret", context: Context | None = None
) -> tuple[asyncio.Task[None], Context]:
    context = context or Context()
    for message in messages:
        context.incoming.put_nowait(message)
    service = ModelContainerService(registry, RpcSettings(token=token))
    return asyncio.create_task(service.Connect(None, context)), context  # type: ignore[arg-type]


EOF = grpc.aio.EOF  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("message", "reason", "retryable"),
    [
        (register(protocol_version=99), "protocol version 99 is not supported", False),
        (register(token="wrong"), "wrong token: set CLIPPER_TOKEN", False),
        (register(token=""), "wrong token", False),
        (register(model_name=""), "must not be empty", False),
        (register(model_version=""), "must not be empty", False),
        (register(instance_id=""), "must not be empty", False),
        (register(input_type=0), "is not an input type", False),
        (register(input_type=77), "is not an input type", False),
        (pb.ContainerMessage(), "the first message must be Register", False),
        (EOF, "the first message must be Register", False),
    ],
)
async def test_who_is_refused_is_told_why(message: object, reason: str, retryable: bool) -> None:
    registry = Registry()
    task, context = connect(registry, message)
    await task

    [answer] = context.written
    assert reason in answer.refused.reason
    assert answer.refused.retryable is retryable
    assert registry.joined == []


async def test_without_a_token_of_its_own_a_frontend_takes_any() -> None:
    registry = Registry()
    task, _ = connect(registry, register(token="left over"), EOF, token="")
    await task

    assert len(registry.joined) == 1


async def test_no_change_of_the_workers_is_missed_while_registering() -> None:
    registry = Registry()

    class Slow(Context):
        async def write(self, message: pb.FrontendMessage) -> None:
            await super().write(message)
            for replica in registry.joined:
                if len(self.written) == 1:
                    replica.send_workers(pb.WorkerList())
            await asyncio.sleep(0)

    task, context = connect(registry, register(), context=Slow())
    async with asyncio.timeout(5):
        while len(context.written) < 2:  # noqa: ASYNC110 - a list has no events
            await asyncio.sleep(0)
    context.incoming.put_nowait(EOF)
    await task

    kinds = [message.WhichOneof("message") for message in context.written]
    assert kinds == ["registered", "worker_list"]


async def test_a_stream_that_cannot_be_written_to_ends() -> None:
    class Broken(Context):
        async def write(self, message: pb.FrontendMessage) -> None:
            raise ValueError("no such thing can be encoded")

    registry = Registry()
    task, _ = connect(registry, register(), context=Broken())
    async with asyncio.timeout(5):
        await task

    [reason] = registry.reasons
    assert "no such thing can be encoded" in reason


async def test_the_registry_can_refuse() -> None:
    registry = Registry()
    registry.refusal = Refusal("not now", retryable=True)
    task, context = connect(registry, register())
    await task

    assert context.written[0].refused == pb.Refused(reason="not now", retryable=True)


async def test_a_stream_carries_messages_both_ways_until_the_container_closes_it() -> None:
    registry = Registry()
    grant = pb.ContainerMessage(credit_grant=pb.CreditGrant(credits=2, hold=True))
    task, context = connect(registry, register(), grant)
    async with asyncio.timeout(5):
        while len(context.written) < 2:  # noqa: ASYNC110 - the fake stream has no events
            await asyncio.sleep(0)
    context.incoming.put_nowait(EOF)
    await task

    registered = context.written[0].registered
    assert (registered.worker_id, registered.replica_id) == ("qf-0", 5)
    assert registered.worker_list == registry.workers()
    assert context.written[1].demand.queries == 1
    [replica] = registry.joined
    assert (replica.model, replica.input_type) == (VersionedModelId("m", "1"), InputType.DOUBLES)
    assert replica.credits == 2
    assert registry.reasons == ["the container closed the stream"]


async def test_a_protocol_violation_ends_the_stream_and_leaves_nothing_behind() -> None:
    registry = Registry()
    nonsense = pb.ContainerMessage(batch_reply=pb.BatchReply(batch_id=9))
    task, _ = connect(registry, register(), nonsense)
    await task

    assert registry.reasons == ["protocol violation: reply to unknown batch 9"]


async def test_a_lost_connection_is_reported() -> None:
    registry = Registry()
    task, _ = connect(registry, register())
    async with asyncio.timeout(5):
        while not registry.joined:  # noqa: ASYNC110 - the fake registry has no events
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert registry.reasons == ["the connection was lost"]
