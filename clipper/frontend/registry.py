"""What the gRPC service of one worker reports to: the fleet, plus the cluster's other workers."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence

from clipper.datatypes import InputType, VersionedModelId
from clipper.errors import StoreUnavailable
from clipper.query.fleet import Fleet
from clipper.replicas.replica import BatchReply, Replica
from clipper.replicas.session import Refusal
from clipper.rpc.pb import model_container_pb2 as pb
from clipper.store.base import ConfigStore, WorkerLease

log = logging.getLogger(__name__)

_NUMBER_TIMEOUT_S = 1.0
_FIRST_LOCAL_NUMBER = 1000


class WorkerRegistry:
    """Admits containers and keeps them informed of the frontend workers."""

    def __init__(self, worker_id: str, address: str, fleet: Fleet, store: ConfigStore) -> None:
        self.worker_id = worker_id
        self.address = address
        self._fleet = fleet
        self._store = store
        self._workers = {worker_id: address}
        # Without the store a container still gets a number, from a range of its own.
        self._local_numbers = itertools.count(_FIRST_LOCAL_NUMBER)
        self.replica_pumped: Callable[[Replica], None] = fleet.pumped
        self.replica_answered: Callable[[Replica, int, BatchReply], None] = fleet.answered
        self.replica_draining: Callable[[Replica], None] = fleet.draining
        self.replica_joined: Callable[[Replica], None] = fleet.joined
        self.replica_left: Callable[[Replica, str], None] = fleet.left

    async def replica_number(self, model: VersionedModelId, instance_id: str) -> int:
        """Return the number that the store gives this container, the same for every worker."""
        try:
            async with asyncio.timeout(_NUMBER_TIMEOUT_S):
                return await self._store.replica_number(model, instance_id)
        except (StoreUnavailable, TimeoutError):
            number = next(self._local_numbers)
            log.warning("store unavailable: %s gets the local replica number %s", model, number)
            return number

    def check(self, model: VersionedModelId, input_type: InputType) -> None:
        """Refuse a container whose input type is not the registered one."""
        record = self._fleet.record(model)
        if record is not None and record.input_type is not input_type:
            raise Refusal(
                f"{model} is registered with input type {record.input_type} but this container "
                f"declares {input_type}: set CLIPPER_INPUT_TYPE={record.input_type}",
                retryable=False,
            )

    def workers(self) -> pb.WorkerList:
        """Return the workers known to be alive, this one included."""
        return pb.WorkerList(
            workers=[
                pb.Worker(worker_id=worker_id, address=address)
                for worker_id, address in sorted(self._workers.items())
            ]
        )

    def set_workers(self, leases: Sequence[WorkerLease]) -> None:
        """Take the live leases; containers are told when the list has changed."""
        workers = {lease.worker_id: lease.rpc_address for lease in leases}
        workers[self.worker_id] = self.address
        if workers == self._workers:
            return
        self._workers = workers
        for replica in self._fleet.replicas():
            replica.send_workers(self.workers())
