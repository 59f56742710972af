"""The container's end of all its streams: credits out, batches in, replies out.

Lives on the I/O loop. Batches go to the model's thread through a `SimpleQueue`; outcomes come back
through `finished`, which the runtime schedules on the loop.
"""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Callable, Iterable, Sequence

from clipper.container.credits import CreditScheduler, Grant
from clipper.container.metrics import ContainerMetrics
from clipper.container.replies import build_reply, error_reply
from clipper.container.stream import WorkerStream
from clipper.container.work import Clock, Outcome, Work
from clipper.rpc.codec import WireFault, input_type_from_wire, split_inputs
from clipper.rpc.pb import model_container_pb2 as pb

_log = logging.getLogger(__name__)

_LAST_BATCHES_S = 0.25
"""How long a draining container waits for batches that were sent before `Draining` arrived."""
_LOOKS = 5
"""The wait is cut into so many parts, with a look at the stream after each: a model that holds
the interpreter's lock may let the whole time pass before anything can be read."""

Peers = Callable[[Sequence[pb.Worker]], None]


class ReplicaPipe:
    """Implements `StreamOwner`; one per process.

    Args:
        todo: Decoded batches for the model's thread.
        on_workers: Called with each list of workers that a frontend sends.
        on_change: Called when a stream has opened or closed.
    """

    def __init__(
        self,
        todo: queue.SimpleQueue[Work | None],
        metrics: ContainerMetrics,
        clock: Clock,
        on_workers: Peers,
        on_change: Callable[[], None],
    ) -> None:
        self.streams: dict[int, WorkerStream] = {}
        self._todo = todo
        self._metrics = metrics
        self._clock = clock
        self._on_workers = on_workers
        self._on_change = on_change
        self._scheduler = CreditScheduler()
        self._work: dict[int, list[Work]] = {}
        self._ending: set[int] = set()
        self._draining = False
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    def opened(self, stream: WorkerStream) -> None:
        """Grant credits to a registered stream; it replaces an older one to its worker."""
        registered = stream.registered
        _log.info(
            "Registered with worker %s at %s as replica %d",
            registered.worker_id,
            stream.address,
            registered.replica_id,
        )
        for older in list(self.streams.values()):
            if older.worker_id == stream.worker_id:
                self._end(older)
        self.streams[stream.number] = stream
        self._all_closed.clear()
        self._work[stream.number] = []
        if self._draining:
            self._say_draining(stream)
        self._send_grants(self._scheduler.stream_added(stream.number))
        self._on_change()
        self._on_workers(registered.worker_list.workers)

    def closed(self, stream: WorkerStream) -> None:
        """Free the stream's credits and forget its batches: their frontend is gone."""
        for work in self._work.pop(stream.number):
            work.cancelled = True
        del self.streams[stream.number]
        self._ending.discard(stream.number)
        if not self.streams:
            self._all_closed.set()
        self._send_grants(self._scheduler.stream_removed(stream.number))
        self._on_change()

    def received(self, stream: WorkerStream, message: pb.FrontendMessage) -> None:
        """Act on one message of a worker."""
        kind = message.WhichOneof("message")
        if kind == "batch":
            self._batch(stream, message.batch)
        elif kind == "demand":
            deadline = self._deadline(message.demand)
            self._send_grants(self._scheduler.demand(stream.number, deadline))
        elif kind == "credit_return":
            returned = message.credit_return.credits
            self._send_grants(self._scheduler.credit_returned(stream.number, returned))
            self._finish_if_idle(stream)
        elif kind == "worker_list":
            self._on_workers(message.worker_list.workers)
        elif kind == "drain":
            _log.info("Worker %s drains: %s", stream.worker_id, message.drain.reason)
            stream.dismissed = not message.drain.reconnect
            self._end(stream)

    def finished(self, work: Work, outcome: Outcome) -> None:
        """Send the reply of a computed batch, and the credit that it frees."""
        stream = self.streams.get(work.stream)
        if stream is not None:
            self._work[work.stream].remove(work)
            limit = int(stream.registered.max_message_bytes)
            self._reply(stream, build_reply(work.batch_id, outcome, limit))
        else:
            self._send_grants(self._scheduler.batch_done(work.stream))
        self._metrics.observe_batch(
            len(work.sizes),
            parse_s=work.parse_s,
            queue_s=outcome.queue_s,
            compute_s=outcome.compute_s,
            total_s=self._clock() - work.arrived_at,
        )

    def grant_no_more(self) -> None:
        """Let replies carry no credits from now on: the container is about to drain."""
        self._scheduler.stop()

    async def drain(self) -> None:
        """Say goodbye on every stream, answer what is outstanding, and return when all ended."""
        self._draining = True
        self.grant_no_more()
        for stream in list(self.streams.values()):
            self._say_draining(stream)
        await self._all_closed.wait()

    def _batch(self, stream: WorkerStream, batch: pb.Batch) -> None:
        arrived_at = self._clock()
        deadline = self._deadline(batch.demand) if batch.HasField("demand") else None
        grants = self._scheduler.batch_received(stream.number, deadline)
        try:
            work = self._decode(stream, batch, arrived_at)
        except WireFault as error:
            _log.error("Batch %d of worker %s: %s", batch.batch_id, stream.worker_id, error)
            self._reply(stream, error_reply(batch.batch_id, len(batch.sizes), error.msg))
        else:
            self._work[stream.number].append(work)
            self._todo.put(work)
        self._send_grants(grants)

    def _decode(self, stream: WorkerStream, batch: pb.Batch, arrived_at: float) -> Work:
        sizes, budgets_s, data = list(batch.sizes), list(batch.budgets_s), batch.data
        if not sizes:
            raise WireFault("The batch holds no inputs")
        if len(sizes) != len(budgets_s):
            raise WireFault(f"{len(sizes)} sizes, but {len(budgets_s)} budgets")
        input_type = input_type_from_wire(batch.input_type)
        inputs = split_inputs(input_type, data, sizes)
        return Work(
            stream=stream.number,
            batch_id=batch.batch_id,
            input_type=input_type,
            data=data,
            sizes=sizes,
            budgets_s=budgets_s,
            inputs=inputs,
            arrived_at=arrived_at,
            parse_s=self._clock() - arrived_at,
        )

    def _deadline(self, demand: pb.Demand) -> float | None:
        return self._clock() + demand.head_budget_s if demand.queries else None

    def _reply(self, stream: WorkerStream, message: pb.ContainerMessage) -> None:
        """Send a reply; a credit held ahead rides on it, every other grant has its own message."""
        grants = self._scheduler.batch_done(stream.number)
        others = []
        for grant in grants:
            if grant.stream == stream.number and grant.hold and not grant.hold_changed:
                message.batch_reply.credits += grant.credits
            else:
                others.append(grant)
        stream.send(message)
        self._send_grants(others)
        self._finish_if_idle(stream)

    def _send_grants(self, grants: Iterable[Grant]) -> None:
        for grant in grants:
            message = pb.CreditGrant(credits=grant.credits, hold=grant.hold)
            self.streams[grant.stream].send(pb.ContainerMessage(credit_grant=message))

    def _end(self, stream: WorkerStream) -> None:
        """Close a stream on which no more batches come, once the outstanding ones are answered."""
        self._ending.add(stream.number)
        self._send_grants(self._scheduler.stream_closing(stream.number))
        self._finish_if_idle(stream)

    def _say_draining(self, stream: WorkerStream) -> None:
        stream.send(pb.ContainerMessage(draining=pb.Draining()))
        self._ending.add(stream.number)
        # Batches may be on their way until the worker has given its credits back.
        self._end_after(stream, _LOOKS)
        self._finish_if_idle(stream)

    def _end_after(self, stream: WorkerStream, looks: int) -> None:
        if stream.number not in self.streams:
            return
        if looks == 0:
            self._end(stream)
            return
        delay_s = _LAST_BATCHES_S / _LOOKS
        asyncio.get_running_loop().call_later(delay_s, self._end_after, stream, looks - 1)

    def _finish_if_idle(self, stream: WorkerStream) -> None:
        number = stream.number
        if number not in self._ending:
            return
        if self._scheduler.outstanding(number) == 0 and self._scheduler.granted(number) == 0:
            stream.finish()
