"""From an outcome to the reply on the wire, within the worker's message limit. Pure.

The model waits for this between two batches.
"""

from __future__ import annotations

from typing import TypeGuard

from clipper.container.work import Outcome
from clipper.rpc.pb import model_container_pb2 as pb

_FIXED_BYTES = 128
_BYTES_PER_OUTPUT = 5
_BYTES_PER_ERROR = 24
_ALL_BYTES = frozenset((bytes,))


def build_reply(batch_id: int, outcome: Outcome, max_bytes: int) -> pb.ContainerMessage:
    """Return a message with the reply in at most ``max_bytes``.

    The largest outputs give way to errors until the rest fits: one oversized output must cost its
    own query, not the stream.
    """
    message = pb.ContainerMessage()
    # Filled in place: a message that is given to another one is copied.
    reply = message.batch_reply
    reply.batch_id = batch_id
    reply.queue_s, reply.compute_s = outcome.queue_s, outcome.compute_s
    outputs = fit(outcome.outputs, max_bytes)
    texts = outputs if _are_texts(outputs) else [_text(output) for output in outputs]
    reply.data = b"".join(texts)
    reply.sizes.extend(map(len, texts))
    if texts is not outputs:
        for index, output in enumerate(outputs):
            if isinstance(output, str):
                reply.errors.add(index=index, message=output)
    return message


def error_reply(batch_id: int, count: int, message: str) -> pb.ContainerMessage:
    """Return a message with a reply in which every query failed for the same reason."""
    outcome = Outcome([message] * count, queue_s=0.0, compute_s=0.0)
    return build_reply(batch_id, outcome, max_bytes=0)


def fit(outputs: list[bytes | str], max_bytes: int) -> list[bytes | str]:
    """Return ``outputs`` with errors in the place of the largest until the message fits.

    ``max_bytes`` 0 means no limit.
    """
    excess = _all_wire_bytes(outputs) + _FIXED_BYTES - max_bytes
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


def _text(output: bytes | str) -> bytes:
    return b"" if isinstance(output, str) else output


def _are_texts(outputs: list[bytes | str]) -> TypeGuard[list[bytes]]:
    """Whether every output has its text, as nearly always."""
    return _ALL_BYTES.issuperset(map(type, outputs))


def _all_wire_bytes(outputs: list[bytes | str]) -> int:
    if _are_texts(outputs):
        return _BYTES_PER_OUTPUT * len(outputs) + sum(map(len, outputs))
    return sum(map(_wire_bytes, outputs))


def _wire_bytes(output: bytes | str) -> int:
    if isinstance(output, bytes):
        return _BYTES_PER_OUTPUT + len(output)
    return _BYTES_PER_OUTPUT + _BYTES_PER_ERROR + len(output.encode())
