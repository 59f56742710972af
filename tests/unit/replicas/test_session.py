"""Who is admitted on Connect, and what becomes of the stream; no sockets."""

from __future__ import annotations

import asyncio

import pytest

from clipper.datatypes import InputType, VersionedModelId
from clipper.replicas.replica import BatchReply, Replica
from clipper.replicas.session import (
    REGISTER_TIMEOUT_S,
    ContainerSession,
    Refusal,
    RpcSettings,
)
from clipper.rpc.channel import PROTOCOL_VERSION
from clipper.rpc.pb import model_container_pb2 as pb
from tests.fakes.virtual_clock import VirtualClock

GRANT = pb.ContainerMessage(credit_grant=pb.CreditGrant(credits=2, hold=True))
NONSENSE = pb.ContainerMessage(batch_reply=pb.BatchReply(batch_id=9))


class Stream:
    """The frontend's end of a call."""

    peer = "test"

    def __init__(self) -> None:
        self.sent: list[pb.FrontendMessage] = []
        self.finishes = 0

    def send(self, data: bytes) -> None:
        assert not self.finished, "sent behind the end"
        self.sent.append(pb.FrontendMessage.FromString(data))

    def finish(self) -> None:
        self.finishes += 1

    @property
    def finished(self) -> bool:
        assert self.finishes < 2, "it was ended twice"
        return self.finishes == 1

    @property
    def kinds(self) -> list[str | None]:
        return [message.WhichOneof("message") for message in self.sent]


class Registry:
    worker_id = "qf-0"

    def __init__(self) -> None:
        self.joined: list[Replica] = []
        self.reasons: list[str] = []
        self.refusal: Refusal | None = None
        self.answers = asyncio.Event()
        """The store answers when this is set."""
        self.answers.set()
        self.fault: Exception | None = None
        self.on_grant: Exception | None = None

    async def replica_number(self, model: VersionedModelId, instance_id: str) -> int:
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault
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
        if self.on_grant is not None:
            raise self.on_grant
        replica.send_demand(1, 0.5)

    def replica_answered(self, replica: Replica, batch_id: int, reply: BatchReply) -> None:
        raise AssertionError("no batch was sent")

    def replica_draining(self, replica: Replica) -> None:
        pass


class Call:
    """One call with its fakes, fed as the connection would."""

    def __init__(self, token: str = "secret") -> None:
        self.clock = VirtualClock()
        self.stream = Stream()
        self.registry = Registry()
        settings = RpcSettings(token=token, max_message_bytes=1000)
        self.session = ContainerSession(self.stream, self.registry, settings, self.clock)

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        self.clock.settle()

    async def take(self, *messages: pb.ContainerMessage | None) -> None:
        """Let messages arrive, all before anything else happens; None: the stream's end."""
        for message in messages:
            if self.stream.finished:
                break
            if message is None:
                self.session.half_closed()
            else:
                self.session.message(message.SerializeToString())
        await self.settle()

    @property
    def replica(self) -> Replica:
        [replica] = self.registry.joined
        return replica


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


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (register(protocol_version=99), "protocol version 99 is not supported"),
        (register(token="wrong"), "wrong token: set CLIPPER_TOKEN"),
        (register(token=""), "wrong token"),
        (register(model_name=""), "must not be empty"),
        (register(model_version=""), "must not be empty"),
        (register(instance_id=""), "must not be empty"),
        (register(model_name="a" * 1001), "longer than 1000"),
        (register(model_name="a:b"), "contains ',', ':' or control characters"),
        (register(model_version="1\n2"), "contains ',', ':' or control characters"),
        (register(input_type=0), "is not an input type"),
        (register(input_type=77), "is not an input type"),
        (pb.ContainerMessage(), "the first message must be Register"),
        (GRANT, "the first message must be Register"),
        (None, "the first message must be Register"),
    ],
)
async def test_who_is_refused_is_told_why_and_the_call_ends(
    message: pb.ContainerMessage | None, reason: str
) -> None:
    call = Call()
    await call.take(message)

    [answer] = call.stream.sent
    assert reason in answer.refused.reason
    assert not answer.refused.retryable
    assert call.stream.finished
    assert not call.registry.joined
    assert not call.registry.reasons


async def test_bytes_that_are_no_message_are_refused() -> None:
    call = Call()
    call.session.message(b"\xff\xff\xff")

    assert "not a message of the protocol" in call.stream.sent[0].refused.reason
    assert call.stream.finished


async def test_without_a_token_of_its_own_a_frontend_takes_any() -> None:
    call = Call(token="")
    await call.take(register(token="left over"))

    assert call.stream.kinds == ["registered"]


async def test_the_registry_can_refuse() -> None:
    call = Call()
    call.registry.refusal = Refusal("not now", retryable=True)
    await call.take(register())

    assert call.stream.sent[0].refused == pb.Refused(reason="not now", retryable=True)
    assert call.stream.finished


async def test_a_stream_carries_messages_both_ways_until_the_container_closes_it() -> None:
    call = Call()
    await call.take(register())
    await call.take(GRANT, None)

    registered = call.stream.sent[0].registered
    assert (registered.worker_id, registered.replica_id) == ("qf-0", 5)
    assert registered.max_message_bytes == 1000
    assert registered.worker_list == call.registry.workers()
    assert call.stream.sent[1].demand.queries == 1
    replica = call.replica
    assert (replica.model, replica.input_type) == (VersionedModelId("m", "1"), InputType.DOUBLES)
    assert replica.credits == 2
    assert call.registry.reasons == ["the container closed the stream"]
    assert call.stream.finished


async def test_what_is_sent_behind_the_end_is_dropped() -> None:
    call = Call()
    await call.take(register())
    await call.take(None)
    call.replica.send_demand(1, 1.0)

    assert call.stream.kinds == ["registered"]


async def test_messages_wait_while_the_registry_is_asked() -> None:
    call = Call()
    call.registry.answers.clear()
    await call.take(register(), GRANT, None)
    assert call.stream.sent == []

    call.registry.answers.set()
    await call.settle()

    assert call.stream.kinds == ["registered", "demand"]
    assert call.registry.reasons == ["the container closed the stream"]
    assert call.stream.finished


async def test_an_early_message_may_break_the_protocol() -> None:
    call = Call()
    await call.take(register(), NONSENSE, GRANT)

    assert call.registry.reasons == ["protocol violation: reply to unknown batch 9"]
    assert call.stream.kinds == ["registered"]
    assert call.stream.finished


async def test_who_left_while_the_registry_was_asked_never_joins() -> None:
    call = Call()
    call.registry.answers.clear()
    await call.take(register())
    call.session.lost("the connection was lost")
    call.registry.answers.set()
    await call.settle()

    assert not call.registry.joined
    assert not call.registry.reasons


async def test_a_registry_that_fails_ends_the_call_at_once() -> None:
    call = Call()
    call.registry.fault = RuntimeError("no number for you")
    await call.take(register())

    assert call.stream.finished
    assert not call.registry.joined
    assert not call.registry.reasons


async def test_a_message_before_registration_is_small() -> None:
    call = Call()
    before = call.session.max_message_bytes
    await call.take(register())

    assert before == 1 << 20
    assert call.session.max_message_bytes == 1000


async def test_no_change_of_the_workers_is_missed_while_registering() -> None:
    call = Call()
    joined = call.registry.replica_joined

    def join(replica: Replica) -> None:
        joined(replica)
        replica.send_workers(pb.WorkerList())

    call.registry.replica_joined = join  # type: ignore[method-assign]
    await call.take(register())

    assert call.stream.kinds == ["registered", "worker_list"]


async def test_a_message_that_cannot_be_encoded_ends_the_stream_behind_its_sender(
    caplog: pytest.LogCaptureFixture,
) -> None:
    call = Call()
    await call.take(register())

    class Unencodable:
        def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
            raise ValueError("no such thing can be encoded")

    call.replica._send(Unencodable())  # type: ignore[arg-type]
    assert (call.registry.reasons, call.stream.finishes) == ([], 0)

    call.clock.settle()
    assert call.registry.reasons == ["nothing can be sent: no such thing can be encoded"]
    assert call.stream.finished
    assert "cannot be encoded" in caplog.text


async def test_a_protocol_violation_ends_the_stream_and_leaves_nothing_behind() -> None:
    call = Call()
    await call.take(register())
    await call.take(NONSENSE)

    assert call.registry.reasons == ["protocol violation: reply to unknown batch 9"]
    assert call.stream.finished


async def test_bytes_that_are_no_message_are_a_violation_too() -> None:
    call = Call()
    await call.take(register())
    call.session.message(b"\xff\xff\xff")

    [reason] = call.registry.reasons
    assert reason.startswith("protocol violation")


async def test_a_fault_of_ours_costs_this_stream_alone(caplog: pytest.LogCaptureFixture) -> None:
    call = Call()
    await call.take(register())
    call.registry.on_grant = KeyError("a bug")
    await call.take(GRANT)

    assert call.registry.reasons == ["a message could not be handled: 'a bug'"]
    assert "a message failed" in caplog.text


async def test_a_lost_connection_is_reported_once() -> None:
    call = Call()
    await call.take(register())
    call.session.lost("the connection was lost")
    call.session.lost("again")

    assert call.registry.reasons == ["the connection was lost"]


async def test_who_does_not_register_is_refused_after_a_while() -> None:
    call = Call()
    call.clock.advance(REGISTER_TIMEOUT_S - 0.01)
    assert not call.stream.finished

    call.clock.advance(0.02)
    refused = call.stream.sent[0].refused
    assert refused == pb.Refused(reason="no Register message within 10 s", retryable=True)
    assert call.stream.finished


async def test_who_registered_may_be_silent_for_ever() -> None:
    call = Call()
    await call.take(register())
    call.clock.advance(10 * REGISTER_TIMEOUT_S)

    assert call.stream.kinds == ["registered"]
    assert not call.stream.finished


async def test_a_refusal_is_not_followed_by_another() -> None:
    call = Call()
    await call.take(pb.ContainerMessage())
    call.clock.advance(2 * REGISTER_TIMEOUT_S)

    assert call.stream.kinds == ["refused"]
    assert call.stream.finished
