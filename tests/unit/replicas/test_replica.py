"""One container's stream as messages: batches out, replies in, credits counted."""

from __future__ import annotations

from collections import deque

import pytest

from clipper.datatypes import InputType, VersionedModelId
from clipper.replicas.replica import BatchReply, Replica, ReplicaState
from clipper.rpc.codec import WireFault
from clipper.rpc.pb import model_container_pb2 as pb


class Listener:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.replies: list[BatchReply] = []
        self.sent: deque[pb.FrontendMessage] = deque()

    def replica_pumped(self, replica: Replica) -> None:
        self.events.append(f"pumped {replica.credits}")

    def replica_answered(self, replica: Replica, batch_id: int, reply: BatchReply) -> None:
        self.events.append(f"answered {batch_id}")
        self.replies.append(reply)

    def replica_draining(self, replica: Replica) -> None:
        self.events.append("draining")


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def replica(listener: Listener) -> Replica:
    return Replica(
        VersionedModelId("m", "1"),
        3,
        "instance",
        InputType.STRINGS,
        listener,
        listener.sent.append,
    )


def grant(count: int, hold: bool = True) -> pb.ContainerMessage:
    return pb.ContainerMessage(credit_grant=pb.CreditGrant(credits=count, hold=hold))


def reply(batch_id: int, *outputs: bytes, **fields: object) -> pb.ContainerMessage:
    message = pb.BatchReply(
        batch_id=batch_id,
        data=b"".join(outputs),
        sizes=map(len, outputs),
        **fields,  # type: ignore[arg-type]
    )
    return pb.ContainerMessage(batch_reply=message)


def test_a_batch_is_one_packed_message_and_costs_a_credit(
    replica: Replica, listener: Listener
) -> None:
    replica.receive(grant(2))
    number = replica.send_batch([b"ab", b"", b"c"], [0.1, 0.2, 0.3], 7, (4, 0.5))

    batch = listener.sent.popleft().batch
    assert (batch.batch_id, batch.generation, batch.data) == (number, 7, b"abc")
    assert (list(batch.sizes), list(batch.budgets_s)) == ([2, 0, 1], [0.1, 0.2, 0.3])
    assert batch.input_type == pb.INPUT_TYPE_STRINGS
    assert (batch.demand.queries, batch.demand.head_budget_s, batch.probe) == (4, 0.5, False)
    assert replica.credits == 1


def test_a_batch_with_nothing_behind_it_carries_no_demand(
    replica: Replica, listener: Listener
) -> None:
    replica.send_batch([b"x"], [0.1], 7, None, probe=True)

    batch = listener.sent.popleft().batch
    assert not batch.HasField("demand")
    assert batch.probe


def test_a_reply_brings_outputs_errors_times_and_credits(
    replica: Replica, listener: Listener
) -> None:
    first = replica.send_batch([b"a", b"b"], [1, 1], 7, None)
    second = replica.send_batch([b"c"], [1], 7, None)
    errors = [pb.ItemError(index=1, message="no")]
    replica.receive(reply(second, b"C", credits=1))
    replica.receive(reply(first, b"A", b"", errors=errors, queue_s=0.1, compute_s=0.2, credits=1))

    assert listener.events == [f"answered {second}", f"answered {first}"]
    last = listener.replies[-1]
    assert (last.outputs, last.errors) == ([b"A", b""], {1: "no"})
    assert (last.queue_s, last.compute_s) == (0.1, 0.2)
    assert replica.credits == 0


def test_credits_count_before_the_listener_hears_of_them(
    replica: Replica, listener: Listener
) -> None:
    replica.receive(grant(2, hold=False))

    assert listener.events == ["pumped 2"]
    assert not replica.holds_credits
    replica.return_credits()
    assert listener.sent.popleft().credit_return.credits == 2
    assert replica.credits == 0


@pytest.mark.parametrize(
    "message",
    [
        reply(99, b"x"),
        reply(1, b"x"),
        reply(1, b"x", b"y", b"z"),
        reply(1, b"x", b"y", errors=[pb.ItemError(index=2, message="beyond")]),
        reply(1, b"x", b"y", queue_s=float("nan")),
        reply(1, b"x", b"y", compute_s=-1.0),
        reply(1, b"x", b"y", compute_s=float("inf")),
        pb.ContainerMessage(batch_reply=pb.BatchReply(batch_id=1, data=b"xyz", sizes=[1, 1])),
        pb.ContainerMessage(register=pb.Register()),
        pb.ContainerMessage(),
    ],
)
def test_what_contradicts_itself_or_its_batch_is_a_wire_fault(
    replica: Replica, listener: Listener, message: pb.ContainerMessage
) -> None:
    replica.send_batch([b"a", b"b"], [1, 1], 7, None)

    with pytest.raises(WireFault):
        replica.receive(message)

    assert listener.events == []


def test_a_batch_can_be_answered_once_only(replica: Replica) -> None:
    number = replica.send_batch([b"a"], [1], 7, None)
    replica.receive(reply(number, b"x"))

    with pytest.raises(WireFault, match="unknown batch"):
        replica.receive(reply(number, b"x"))


def test_draining_demand_workers_and_the_end(replica: Replica, listener: Listener) -> None:
    replica.receive(pb.ContainerMessage(draining=pb.Draining()))
    assert replica.state is ReplicaState.DRAINING
    assert listener.events == ["draining"]

    replica.send_demand(5, 0.25)
    assert listener.sent.popleft().demand == pb.Demand(queries=5, head_budget_s=0.25)
    workers = pb.WorkerList(workers=[pb.Worker(worker_id="qf-0", address="here:7000")])
    replica.send_workers(workers)
    assert listener.sent.popleft().worker_list == workers
    replica.end("bye", reconnect=True)
    assert listener.sent.popleft().drain == pb.Drain(reason="bye", reconnect=True)
