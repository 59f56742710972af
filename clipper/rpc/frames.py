"""HTTP/2 frames as bytes: numbers of RFC 9113, and what our side of gRPC writes."""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
GOAWAY, WINDOW_UPDATE, CONTINUATION = 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 2, 3, 4, 5
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR = 0, 1, 3, 6
REFUSED_STREAM, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 9, 11

OK, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 0, 8, 12
"""Status codes of gRPC."""

FRAME = struct.Struct(">HBBBL")
"""Length in two parts, type, flags, stream."""
MESSAGE = struct.Struct(">BL")
"""Compressed or not, length."""
SETTING = struct.Struct(">HL")
NUMBER = struct.Struct(">L")


class Http2Error(Exception):
    """The peer broke the protocol; the connection cannot go on. ``code`` is RFC 9113's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    """Return one frame."""
    size = len(payload)
    return FRAME.pack(size >> 8, size & 0xFF, kind, flags, number) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    """Return a frame of settings, each a number and a value."""
    return frame(SETTINGS, 0, 0, b"".join([SETTING.pack(*pair) for pair in pairs]))


def unpadded(flags: int, payload: bytes) -> bytes:
    """Return a frame's payload without its padding.

    Raises:
        Http2Error: there is more padding than payload.
    """
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Http2Error(PROTOCOL_ERROR, "more padding than frame")
    return payload[1 : len(payload) - payload[0]]


def literal_header(name: bytes, value: bytes) -> bytes:
    """Encode a header that enters no table."""
    return b"\0" + _string(name) + _string(value)


def indexed_header(index: int, value: bytes) -> bytes:
    """Encode a header that enters no table, its name by its place in the static table."""
    prefix = bytes([index]) if index < 15 else bytes([15, index - 15])
    return prefix + _string(value)


def _string(value: bytes) -> bytes:
    """Encode a string of less than 16 511 bytes, not compressed (RFC 7541 §5.2)."""
    size = len(value)
    if size < 127:
        return bytes([size]) + value
    rest = size - 127
    length = bytes([127, rest]) if rest < 128 else bytes([127, rest % 128 + 128, rest // 128])
    return length + value


def printable(text: str) -> bytes:
    """Return a status text in at most 120 characters that a header may hold as they are."""
    plain = (c if 0x20 <= ord(c) <= 0x7E and c != "%" else "?" for c in text)
    return "".join(plain).encode()[:120]
