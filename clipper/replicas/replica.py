"""One connected model container, as one frontend worker sees it.

Turns batches into messages and replies into results; counts credits. It decides nothing: the
dispatcher listens and sends. All of it belongs to the event loop's thread.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Protocol

from clipper.datatypes import InputType, VersionedModelId
from clipper.rpc import codec
from clipper.rpc.pb import model_container_pb2 as pb

_LONGEST_ERROR = 2000
"""Characters of a model's error that are passed on: every one may go out with a response."""


class ReplicaState(enum.StrEnum):
    """Where a replica is in its life."""

    CONNECTED = "connected"
    READY = "ready"
    SUSPECT = "suspect"
    DRAINING = "draining"
    PROBE_FAILED = "probe-failed"


class BatchReply:
    """A replica's answer to one batch."""

    __slots__ = ("compute_s", "errors", "outputs", "queue_s")

    def __init__(self, reply: pb.BatchReply) -> None:
        """Raise WireFault when the sizes do not fit the data, or a time is no time."""
        if not (0.0 <= reply.queue_s < math.inf and 0.0 <= reply.compute_s < math.inf):
            raise codec.WireFault("queue_s and compute_s must be finite and not negative")
        self.outputs: Sequence[bytes] = codec.split_outputs(reply.data, reply.sizes)
        self.errors = {error.index: error.message[:_LONGEST_ERROR] for error in reply.errors}
        self.queue_s = reply.queue_s
        self.compute_s = reply.compute_s


class ReplicaListener(Protocol):
    """Who is told what the container says; the fleet is the real one."""

    def replica_pumped(self, replica: Replica) -> None:
        """Credits came: something may be sent."""

    def replica_answered(self, replica: Replica, batch_id: int, reply: BatchReply) -> None:
        """A batch was answered."""

    def replica_draining(self, replica: Replica) -> None:
        """The container takes nothing more."""


class Replica:
    """The sending half of one container's stream, and the state both halves share."""

    def __init__(
        self,
        model: VersionedModelId,
        replica_id: int,
        instance_id: str,
        input_type: InputType,
        listener: ReplicaListener,
        send: Callable[[pb.FrontendMessage], None],
    ) -> None:
        """``send`` passes a message on to the container, or drops it when the stream has ended."""
        self.model = model
        self.replica_id = replica_id
        self.instance_id = instance_id
        self.input_type = input_type
        self.state = ReplicaState.CONNECTED
        self.credits = 0
        self.holds_credits = True
        self._listener = listener
        self._send = send
        self._wire_type = codec.input_type_to_wire(input_type)
        self._last_batch_id = 0
        self._sizes: dict[int, int] = {}

    @property
    def outstanding(self) -> int:
        """Batches sent and not answered."""
        return len(self._sizes)

    def send_batch(
        self,
        inputs: list[bytes],
        budgets_s: list[float],
        generation: int,
        demand: tuple[int, float] | None,
        probe: bool = False,
    ) -> int:
        """Send one batch, use one credit, and return the batch's id."""
        self.credits -= 1
        self._last_batch_id += 1
        message = pb.FrontendMessage()
        # Filled in place: a message that is given to another one is copied.
        batch = message.batch
        batch.batch_id = self._last_batch_id
        batch.generation = generation
        batch.input_type = self._wire_type
        batch.budgets_s.extend(budgets_s)
        batch.data, sizes = codec.join_inputs(inputs)
        batch.sizes.extend(sizes)
        if probe:
            batch.probe = True
        if demand is not None:
            batch.demand.queries, batch.demand.head_budget_s = demand
        self._sizes[self._last_batch_id] = len(inputs)
        self._send(message)
        return self._last_batch_id

    def send_demand(self, queries: int, head_budget_s: float) -> None:
        """Ask for a credit."""
        demand = pb.Demand(queries=queries, head_budget_s=head_budget_s)
        self._send(pb.FrontendMessage(demand=demand))

    def return_credits(self) -> None:
        """Give every unused credit back."""
        returned = pb.CreditReturn(credits=self.credits)
        self.credits = 0
        self._send(pb.FrontendMessage(credit_return=returned))

    def send_workers(self, workers: pb.WorkerList) -> None:
        """Tell the container which frontend workers there are."""
        self._send(pb.FrontendMessage(worker_list=workers))

    def end(self, reason: str, reconnect: bool) -> None:
        """Ask the container to answer what is outstanding and close the stream."""
        drain = pb.Drain(reason=reason, reconnect=reconnect)
        self._send(pb.FrontendMessage(drain=drain))

    def receive(self, message: pb.ContainerMessage) -> None:
        """Take one message of the container.

        Raises:
            WireFault: the message contradicts itself or the batch that it answers.
        """
        kind = message.WhichOneof("message")
        if kind == "batch_reply":
            self._receive_reply(message.batch_reply)
        elif kind == "credit_grant":
            self.credits += message.credit_grant.credits
            self.holds_credits = message.credit_grant.hold
            self._listener.replica_pumped(self)
        elif kind == "draining":
            self.state = ReplicaState.DRAINING
            self._listener.replica_draining(self)
        else:
            raise codec.WireFault(f"unexpected message {kind or 'without content'}")

    def _receive_reply(self, message: pb.BatchReply) -> None:
        size = self._sizes.pop(message.batch_id, None)
        if size is None:
            raise codec.WireFault(f"reply to unknown batch {message.batch_id}")
        reply = BatchReply(message)
        if len(reply.outputs) != size or any(index >= size for index in reply.errors):
            raise codec.WireFault(f"{len(reply.outputs)} outputs for a batch of {size}")
        self.credits += message.credits
        self._listener.replica_answered(self, message.batch_id, reply)
