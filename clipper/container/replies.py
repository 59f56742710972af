"""From an outcome to the reply on the wire, within the worker's message limit. Pure."""

from __future__ import annotations

from clipper.container.work import Outcome
from clipper.rpc.pb import model_container_pb2 as pb

_FIXED_BYTES = 128
_BYTES_PER_OUTPUT = 5
_BYTES_PER_ERROR = 24


def build_reply(batch_id: int, outcome: Outcome, max_bytes: int) -> pb.BatchReply:
    """Return the reply in at most ``max_bytes``.

    The largest outputs give way to errors until the rest fits: one oversized output must cost its
    own query, not the stream.
    """
    outputs = fit(outcome.outputs, max_bytes)
    texts = [b"" if isinstance(output, str) else output for output in outputs]
    reply = pb.BatchReply(
        batch_id=batch_id,
        data=b"".join(texts),
        sizes=map(len, texts),
        queue_s=outcome.queue_s,
        compute_s=outcome.compute_s,
    )
    for index, output in enumerate(outputs):
        if isinstance(output, str):
            reply.errors.add(index=index, message=output)
    return reply


def error_reply(batch_id: int, count: int, message: str) -> pb.BatchReply:
    """Return a reply in which every query failed for the same reason."""
    outcome = Outcome([message] * count, queue_s=0.0, compute_s=0.0)
    return build_reply(batch_id, outcome, max_bytes=0)


def fit(outputs: list[bytes | str], max_bytes: int) -> list[bytes | str]:
    """Return ``outputs`` with errors in the place of the largest until the message fits.

    ``max_bytes`` 0 means no limit.
    """
    excess = sum(map(_wire_bytes, outputs)) + _FIXED_BYTES - max_bytes
    if max_bytes == 0 or excess <= 0:
        return outputs
    fitted = list(outputs)
    for index in sorted(range(len(outputs)), key=lambda i: -_wire_bytes(outputs[i])):
        message = _too_large(outputs[index], max_bytes)
        saved = _wire_bytes(outputs[index]) - _wire_bytes(message)
        if excess <= 0 or saved <= 0:
            break
        fitted[index] = message
        excess -= saved
    return fitted


def _too_large(output: bytes | str, max_bytes: int) -> str:
    if isinstance(output, str):
        return ""
    return f"Output of {len(output)} bytes is too large: a reply holds {max_bytes} bytes"


def _wire_bytes(output: bytes | str) -> int:
    if isinstance(output, bytes):
        return _BYTES_PER_OUTPUT + len(output)
    return _BYTES_PER_OUTPUT + _BYTES_PER_ERROR + len(output.encode())
