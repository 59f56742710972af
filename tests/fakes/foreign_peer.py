"""A peer that knows the wire contract and nothing of Clipper's code.

Run as a program, with stubs generated into a directory by any protobuf tool::

    foreign_peer.py STUBS frontend                  serves on a free port, tests one container
    foreign_peer.py STUBS container HOST:PORT NAME VERSION [TOKEN]   sums doubles for ever

As a frontend it prints ``PORT <n>`` first and ``OK`` last, and fails with an assertion otherwise.
As a container it answers each input of doubles with its sum and each other input with its size in
bytes; it grants two credits ahead.
"""

from __future__ import annotations

import itertools
import queue
import struct
import sys
import uuid
from concurrent import futures
from typing import Any

import grpc


def frontend(pb: Any, pb_grpc: Any) -> None:
    results: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Worker(pb_grpc.ModelContainerServiceServicer):  # type: ignore[misc]
        def Connect(self, requests: Any, context: Any) -> Any:  # noqa: N802
            try:
                yield from converse(pb, requests)
                results.put("OK")
            except BaseException as error:
                results.put(f"{type(error).__name__}: {error}")
                raise

    server = grpc.server(futures.ThreadPoolExecutor(2))
    pb_grpc.add_ModelContainerServiceServicer_to_server(Worker(), server)
    print("PORT", server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    result = results.get(timeout=30)
    server.stop(2).wait()
    print(result, flush=True)


def converse(pb: Any, requests: Any) -> Any:
    """One whole life of a stream, as docs/container-protocol.md tells it."""
    register = next(requests).register
    assert register.protocol_version == 1, register
    assert (register.model_name, register.model_version) == ("m", "1"), register
    assert register.input_type == pb.INPUT_TYPE_DOUBLES, register
    assert register.instance_id, register
    yield pb.FrontendMessage(
        registered=pb.Registered(protocol_version=1, worker_id="w", max_message_bytes=1 << 20)
    )
    grant = next(requests).credit_grant
    assert (grant.credits, grant.hold) == (2, True), grant
    inputs = [struct.pack("<2d", 1.5, 2.0), b"", struct.pack("<3d", 1, 2, 3)]
    batch = pb.Batch(batch_id=1, input_type=pb.INPUT_TYPE_DOUBLES, data=b"".join(inputs))
    batch.sizes.extend(len(data) for data in inputs)
    batch.budgets_s.extend([5.0] * 3)
    yield pb.FrontendMessage(batch=batch)
    reply = next(requests).batch_reply
    assert (reply.batch_id, reply.credits, len(reply.errors)) == (1, 1, 0), reply
    assert split(reply.data, reply.sizes) == [b"3.5", b"0", b"6.0"], reply
    assert reply.compute_s > 0, reply
    broken = pb.Batch(batch_id=2, input_type=pb.INPUT_TYPE_DOUBLES, data=b"123")
    broken.sizes.append(3)
    broken.budgets_s.append(5.0)
    yield pb.FrontendMessage(batch=broken)
    reply = next(requests).batch_reply
    assert [error.index for error in reply.errors] == [0], reply
    assert list(reply.sizes) == [0], reply
    yield pb.FrontendMessage(drain=pb.Drain(reason="done", reconnect=False))
    rest = list(requests)
    assert rest == [], rest


def split(data: bytes, sizes: Any) -> list[bytes]:
    ends = list(itertools.accumulate(sizes))
    return [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def container(pb: Any, pb_grpc: Any, address: str, name: str, version: str, token: str) -> None:
    outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    register = pb.Register(
        protocol_version=1,
        token=token,
        model_name=name,
        model_version=version,
        input_type=pb.INPUT_TYPE_DOUBLES,
        instance_id=str(uuid.uuid4()),
        runtime="foreign peer",
    )
    outbox.put(pb.ContainerMessage(register=register))
    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.ModelContainerServiceStub(channel)
        for message in stub.Connect(iter(outbox.get, None), wait_for_ready=True):
            kind = message.WhichOneof("message")
            if kind == "registered":
                grant = pb.CreditGrant(credits=2, hold=True)
                outbox.put(pb.ContainerMessage(credit_grant=grant))
                print("REGISTERED", message.registered.worker_id, flush=True)
            elif kind == "batch":
                outbox.put(pb.ContainerMessage(batch_reply=answer(pb, message.batch)))
            elif kind in ("refused", "drain"):
                print(kind.upper(), flush=True)
                outbox.put(None)


def answer(pb: Any, batch: Any) -> Any:
    reply = pb.BatchReply(batch_id=batch.batch_id, credits=1, compute_s=1e-6)
    outputs = []
    for data in split(batch.data, batch.sizes):
        if batch.input_type == pb.INPUT_TYPE_DOUBLES:
            total = sum(struct.unpack(f"<{len(data) // 8}d", data))
            outputs.append(str(total).encode())
        else:
            outputs.append(str(len(data)).encode())
    reply.data = b"".join(outputs)
    reply.sizes.extend(map(len, outputs))
    return reply


def main(stubs: str, role: str, *arguments: str) -> None:
    sys.path.insert(0, stubs)
    import model_container_pb2 as pb  # type: ignore[import-not-found]
    import model_container_pb2_grpc as pb_grpc  # type: ignore[import-not-found]

    known = [name for name in sys.modules if name.split(".")[0].startswith("clipper")]
    assert not known, known
    if role == "frontend":
        frontend(pb, pb_grpc)
    else:
        address, name, version, *rest = arguments
        container(pb, pb_grpc, address, name, version, rest[0] if rest else "")


if __name__ == "__main__":
    main(*sys.argv[1:])
