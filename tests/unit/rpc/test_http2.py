"""gRPC over HTTP/2, frame by frame (RFC 9113, and gRPC's own PROTOCOL-HTTP2)."""

from __future__ import annotations

import itertools

import pytest

from clipper.rpc import frames as wire
from clipper.rpc.frames import frame

from .support import (
    GREETING,
    OUR_WINDOW,
    Client,
    Frame,
    data_frame,
    fails,
    message,
    reset,
    settings,
    window,
)

MOST_STREAMS = 16
OUR_MAX_FRAME = 256 << 10
END_ACK = Frame(wire.SETTINGS, wire.ACK, 0, b"")


# Greeting


def test_the_server_begins_with_its_settings_and_a_larger_window() -> None:
    first, second = Client(greet=False).frames()

    assert (first.kind, first.flags, first.number) == (wire.SETTINGS, 0, 0)
    assert dict(wire.SETTING.iter_unpack(first.payload)) == {
        wire.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
        wire.INITIAL_WINDOW_SIZE: OUR_WINDOW,
        wire.MAX_FRAME_SIZE: OUR_MAX_FRAME,
    }
    assert second == Frame(wire.WINDOW_UPDATE, 0, 0, wire.NUMBER.pack(OUR_WINDOW - 65535))


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"PRI * HTTP/1.1"])
def test_another_protocol_is_told_apart_at_its_first_bytes(junk: bytes) -> None:
    assert fails(Client(greet=False), junk) == wire.PROTOCOL_ERROR


def test_a_greeting_byte_by_byte() -> None:
    client = Client(greet=False)
    client.frames()
    for byte in GREETING[:-1]:
        client.feed(bytes([byte]))
    assert client.frames() == []
    client.feed(GREETING[-1:])
    assert client.frames() == [END_ACK]


def test_settings_are_acknowledged_and_acknowledgements_are_not() -> None:
    client = Client()
    client.feed(settings((wire.INITIAL_WINDOW_SIZE, 5), (0xABCD, 7)))
    assert client.frames() == [END_ACK]
    client.feed(frame(wire.SETTINGS, wire.ACK, 0, b""))
    assert client.frames() == []


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (frame(wire.SETTINGS, 0, 0, b"12345"), wire.FRAME_SIZE_ERROR),
        (settings((wire.INITIAL_WINDOW_SIZE, 1 << 31)), wire.FLOW_CONTROL_ERROR),
        (settings((wire.MAX_FRAME_SIZE, 16_383)), wire.PROTOCOL_ERROR),
        (settings((wire.MAX_FRAME_SIZE, 1 << 24)), wire.PROTOCOL_ERROR),
        (frame(wire.PING, 0, 0, b"1234567"), wire.FRAME_SIZE_ERROR),
        (frame(wire.WINDOW_UPDATE, 0, 0, b"123"), wire.FRAME_SIZE_ERROR),
        (window(0, (1 << 31) - 1), wire.FLOW_CONTROL_ERROR),
        (frame(wire.CONTINUATION, wire.END_HEADERS, 1, b""), wire.PROTOCOL_ERROR),
        (data_frame(0, b""), wire.PROTOCOL_ERROR),
        (data_frame(1, b""), wire.PROTOCOL_ERROR),
        (wire.FRAME.pack((OUR_MAX_FRAME + 1) >> 8, 1, 99, 0, 0), wire.FRAME_SIZE_ERROR),
        (frame(wire.HEADERS, wire.END_HEADERS, 1, b"\xff" * 20), wire.COMPRESSION_ERROR),
        (frame(wire.HEADERS, wire.END_HEADERS, 1, b"\xff" * 32_000), wire.COMPRESSION_ERROR),
        (frame(wire.HEADERS, wire.END_HEADERS | wire.PADDED, 1, b""), wire.PROTOCOL_ERROR),
        (frame(wire.HEADERS, wire.END_HEADERS | wire.PADDED, 1, b"\x04abc"), wire.PROTOCOL_ERROR),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(broken: bytes, code: int) -> None:
    assert fails(Client(), broken) == code


def test_unknown_frames_and_priorities_mean_nothing() -> None:
    client = Client()
    client.feed(frame(0x77, 0xFF, 5, b"whatever"), frame(2, 0, 1, b"\0\0\0\0\1"))

    assert client.frames() == []
    assert not client.connection.ended


def test_pings_are_answered_with_what_they_hold() -> None:
    client = Client()
    client.feed(frame(wire.PING, 0, 0, b"12345678"), frame(wire.PING, wire.ACK, 0, b"87654321"))

    assert client.frames() == [Frame(wire.PING, wire.ACK, 0, b"12345678")]


# Calls


def test_a_call_is_accepted_and_carries_messages() -> None:
    client = Client()
    client.feed(client.head(), data_frame(1, message(b"one")), data_frame(1, message(b"")))

    [head] = client.frames()
    assert (head.kind, head.flags, head.number) == (wire.HEADERS, wire.END_HEADERS, 1)
    assert client.headers(head.payload) == {
        b":status": b"200",
        b"content-type": b"application/grpc",
    }
    assert client.events == [(1, "message", b"one"), (1, "message", b"")]

    client.handlers[1].stream.send(b"answer")
    client.handlers[1].stream.send(b"")
    assert client.frames() == [
        Frame(wire.DATA, 0, 1, message(b"answer")),
        Frame(wire.DATA, 0, 1, message(b"")),
    ]


@pytest.mark.parametrize(
    "changes",
    [{"path": b"/no/such"}, {"content_type": b"text/html"}, {"path": b"/\xff%\n" * 300}],
)
def test_what_is_not_served_is_unimplemented(changes: dict[str, bytes]) -> None:
    client = Client()
    head_frame = frame(wire.HEADERS, wire.END_HEADERS, 1, client.block(**changes))
    client.feed(head_frame, data_frame(1, message(b"ignored"), wire.END_STREAM))

    head, trailers, ended = client.frames()
    assert client.headers(head.payload)[b":status"] == b"200"
    assert trailers.flags == wire.END_HEADERS | wire.END_STREAM
    status = client.headers(trailers.payload)
    assert status[b"grpc-status"] == b"12"
    assert all(0x20 <= byte <= 0x7E and byte != 0x25 for byte in status[b"grpc-message"])
    assert ended == Frame(wire.RST_STREAM, 0, 1, wire.NUMBER.pack(wire.NO_ERROR))
    assert client.events == []
    assert client.connection.streams == {}


@pytest.mark.parametrize("content_type", [b"application/grpc+proto", b"application/grpc;a=b"])
def test_all_forms_of_the_content_type_are_taken(content_type: bytes) -> None:
    client = Client()
    block = client.block(content_type=content_type)
    client.feed(frame(wire.HEADERS, wire.END_HEADERS, 1, block))

    assert 1 in client.handlers


def test_messages_and_frames_are_cut_independently() -> None:
    client = Client()
    client.call()
    whole = message(b"a" * 10) + message(b"") + message(b"b" * 300) + message(b"c")
    cuts = [0, 2, 5, 5, 9, 16, 100, 318, len(whole)]
    client.feed(*(data_frame(1, whole[a:b]) for a, b in itertools.pairwise(cuts)))

    sent = [data for _, _, data in client.events]
    assert sent == [b"a" * 10, b"", b"b" * 300, b"c"]


def test_padding_is_no_part_of_a_message_but_of_flow_control() -> None:
    client = Client()
    client.call()
    payload = message(b"x" * 200_000)
    half = len(payload) // 2
    for piece in (payload[:half], payload[half:]):
        client.feed(data_frame(1, b"\xff" + piece + bytes(255), wire.PADDED))

    assert client.events == [(1, "message", b"x" * 200_000)]
    assert client.connection.streams[1].unacknowledged == len(payload) + 2 * 256


def test_padded_and_prioritised_headers_over_several_frames() -> None:
    client = Client()
    block = client.block()
    first = b"\x03" + b"\0\0\0\0\x10" + block[:7] + b"pad"
    client.feed(
        frame(wire.HEADERS, wire.PADDED | wire.PRIORITY, 1, first),
        frame(wire.CONTINUATION, 0, 1, block[7:9]),
        frame(wire.CONTINUATION, wire.END_HEADERS, 1, block[9:]),
    )

    assert 1 in client.handlers


@pytest.mark.parametrize(
    "interruption",
    [
        data_frame(1, b""),
        frame(wire.PING, 0, 0, b"12345678"),
        frame(wire.CONTINUATION, wire.END_HEADERS, 3, b""),
        frame(0x77, 0, 0, b""),
    ],
)
def test_a_header_block_cannot_be_interrupted(interruption: bytes) -> None:
    client = Client()
    assert fails(client, client.head(flags=0), interruption) == wire.PROTOCOL_ERROR


def test_headers_are_bounded_in_one_frame_and_in_many() -> None:
    assert fails(Client(), frame(wire.HEADERS, 0, 1, bytes(33 << 10))) == wire.ENHANCE_YOUR_CALM
    many = [frame(wire.CONTINUATION, 0, 1, bytes(4096))] * 8
    begin = frame(wire.HEADERS, 0, 1, b"\0")
    assert fails(Client(), begin, *many) == wire.ENHANCE_YOUR_CALM


def test_header_lists_are_bounded_although_their_blocks_are_small() -> None:
    entry = b"\x40\x01a\x7f\x80\x1e" + b"v" * 3967  # enters the table, and is repeated from it
    assert fails(Client(), frame(wire.HEADERS, 0x4, 1, entry + b"\xbe" * 20)) != wire.NO_ERROR


@pytest.mark.parametrize("number", [0, 2, 1])
def test_streams_have_new_odd_numbers(number: int) -> None:
    client = Client()
    client.call(1)
    client.feed(reset(1))
    assert fails(client, client.head(number)) == wire.PROTOCOL_ERROR


def test_one_stream_more_than_allowed_is_refused_and_costs_no_other() -> None:
    client = Client()
    numbers = [2 * i + 1 for i in range(MOST_STREAMS + 1)]
    client.feed(*map(client.head, numbers))

    assert client.frames()[-1] == Frame(
        wire.RST_STREAM, 0, numbers[-1], wire.NUMBER.pack(wire.REFUSED_STREAM)
    )
    assert list(client.handlers) == numbers[:-1]

    # Its headers were decoded all the same: the next ones refer to them.
    client.feed(data_frame(numbers[-1], message(b"ignored")), reset(1), client.head(99))
    assert 99 in client.handlers
    assert client.events == [(1, "lost", "the other side reset the stream")]


def test_the_client_ends_its_half_then_the_server_its_own() -> None:
    client = Client()
    handler = client.call()
    client.feed(data_frame(1, message(b"last"), wire.END_STREAM))
    assert client.events == [(1, "message", b"last"), (1, "half closed")]

    handler.stream.send(b"answer")
    handler.stream.finish()
    data, trailers = client.frames()
    assert data.payload == message(b"answer")
    assert client.headers(trailers.payload) == {b"grpc-status": b"0"}
    assert trailers.flags == wire.END_HEADERS | wire.END_STREAM
    assert client.connection.streams == {}


def test_headers_may_be_all_that_a_client_sends() -> None:
    client = Client()
    client.feed(client.head(flags=wire.END_HEADERS | wire.END_STREAM))

    assert client.events == [(1, "half closed")]


def test_trailers_of_the_client_end_its_half() -> None:
    client = Client()
    client.call()
    client.feed(client.head(flags=wire.END_HEADERS | wire.END_STREAM))

    assert client.events == [(1, "half closed")]


def test_data_after_the_end_of_the_stream_breaks_the_protocol() -> None:
    client = Client()
    client.call()
    client.feed(data_frame(1, b"", wire.END_STREAM))
    assert fails(client, data_frame(1, b"x")) == wire.PROTOCOL_ERROR


def test_a_server_that_ends_first_takes_no_more() -> None:
    client = Client()
    client.call().stream.finish()

    trailers, ended = client.frames()
    assert client.headers(trailers.payload) == {b"grpc-status": b"0"}
    assert ended == Frame(wire.RST_STREAM, 0, 1, wire.NUMBER.pack(wire.NO_ERROR))
    client.feed(data_frame(1, message(b"late")), window(1, 5), reset(1))
    assert client.events == []


def test_nothing_is_sent_on_a_stream_that_was_reset() -> None:
    client = Client()
    stream = client.call().stream
    client.feed(reset(1))
    stream.send(b"x")
    stream.finish()

    assert client.frames() == []
    assert client.events == [(1, "lost", "the other side reset the stream")]


def test_a_handler_may_end_the_call_from_within_a_message() -> None:
    client = Client()
    client.finish_at = b"stop"
    client.call()
    client.feed(
        data_frame(1, message(b"go") + message(b"stop") + message(b"never")),
        data_frame(1, message(b"never")[:3]),
    )

    assert client.events == [(1, "message", b"go"), (1, "message", b"stop")]
    assert client.connection.streams == {}


def test_a_lost_connection_tells_each_stream_once() -> None:
    client = Client()
    client.feed(client.head(1), client.head(3), data_frame(3, message(b"half")[:6]))
    client.frames()
    client.connection.lost("gone")
    client.connection.lost("gone")
    client.feed(data_frame(1, message(b"x")), client.head(5))
    client.handlers[1].stream.send(b"x")

    assert client.events == [(1, "lost", "gone"), (3, "lost", "gone")]
    assert client.frames() == []


# The end


def test_a_server_that_goes_away_keeps_its_streams_and_takes_no_new_ones() -> None:
    client = Client()
    client.call(3)
    client.connection.go_away()
    [away] = client.frames()
    assert (away.kind, away.payload) == (wire.GOAWAY, wire.NUMBER.pack(3) + bytes(4))

    client.feed(client.head(5), data_frame(3, message(b"still")))
    assert client.frames() == [Frame(wire.RST_STREAM, 0, 5, wire.NUMBER.pack(wire.REFUSED_STREAM))]
    assert client.events == [(3, "message", b"still")]


def test_a_client_that_goes_away_may_finish() -> None:
    client = Client()
    client.call()
    client.feed(frame(wire.GOAWAY, 0, 0, bytes(8)), data_frame(1, message(b"still")))

    assert client.events == [(1, "message", b"still")]


def test_the_server_pings_when_it_is_asked_to() -> None:
    client = Client()
    client.connection.ping()

    [ping] = client.frames()
    assert (ping.kind, ping.flags, len(ping.payload)) == (wire.PING, 0, 8)
