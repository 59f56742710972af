"""HTTP/2 frames as bytes: numbers of RFC 9113, and what our side of gRPC writes."""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
GOAWAY, WINDOW_UPDATE, CONTINUATION = 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 3, 4, 5
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR = 0, 1, 3, 6
REFUSED_STREAM, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 9, 11

OK, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 8, 12, 13
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
    """Encode a header that enters no table; both lengths are below 127."""
    return b"\0%c%b%c%b" % (len(name), name, len(value), value)


def printable(text: str) -> bytes:
    """Return a status text in at most 120 characters that a header may hold as they are."""
    plain = (c if 0x20 <= ord(c) <= 0x7E and c != "%" else "?" for c in text)
    return "".join(plain).encode()[:120]
