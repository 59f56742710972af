"""Many replicas in one process: real streams of the container protocol, and a model of nothing.

``python -m benchmarks.light_replicas HOST:PORT REPLICAS MODEL [MODEL ...]`` dials once for each
replica of each model, prints ``ready`` when all are registered, and answers ``1.0`` to every input
until it is terminated. A process for each would need gigabytes that say nothing of the frontend.
"""

from __future__ import annotations

import asyncio
import sys
import uuid

import uvloop

from clipper.container.stream import WorkerStream
from clipper.datatypes import InputType
from clipper.rpc.channel import PROTOCOL_VERSION
from clipper.rpc.codec import input_type_to_wire
from clipper.rpc.pb import model_container_pb2 as pb

_OUTPUT = b"1.0"


class _Replica:
    """Grants two credits ahead and answers at once, on the loop."""

    def __init__(self) -> None:
        self.registered = asyncio.Event()

    def opened(self, stream: WorkerStream) -> None:
        """The frontend has registered it."""
        grant = pb.CreditGrant(credits=2, hold=True)
        stream.send(pb.ContainerMessage(credit_grant=grant))
        self.registered.set()

    def received(self, stream: WorkerStream, message: pb.FrontendMessage) -> None:
        """Answer a batch; nothing else matters here."""
        if message.WhichOneof("message") != "batch":
            return
        count = len(message.batch.sizes)
        reply = pb.BatchReply(
            batch_id=message.batch.batch_id,
            data=_OUTPUT * count,
            sizes=[len(_OUTPUT)] * count,
            compute_s=1e-6,
            credits=1,
        )
        stream.send(pb.ContainerMessage(batch_reply=reply))

    def closed(self, stream: WorkerStream) -> None:
        """The frontend ended first."""


async def serve(address: str, replicas: int, models: list[str]) -> None:
    """Register everything, say so, and answer until cancelled."""
    names = [name for name in models for _ in range(replicas)]
    owners = [_Replica() for _ in names]
    async with asyncio.TaskGroup() as group:
        for number, (name, owner) in enumerate(zip(names, owners, strict=True)):
            register = pb.Register(
                protocol_version=PROTOCOL_VERSION,
                model_name=name,
                model_version="1",
                input_type=input_type_to_wire(InputType.DOUBLES),
                instance_id=str(uuid.uuid4()),
                runtime="benchmark",
            )
            group.create_task(WorkerStream(number, address, owner).run(register))
        for owner in owners:
            await owner.registered.wait()
        print("ready", flush=True)


def main() -> None:
    """Serve what the command line names."""
    address, replicas, *models = sys.argv[1:]
    uvloop.run(serve(address, int(replicas), models))


if __name__ == "__main__":
    main()
