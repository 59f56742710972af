"""gRPC over HTTP/2, frame by frame: how much may be sent, in a message and before it is granted."""

from __future__ import annotations

import pytest

from clipper.rpc import frames as wire

from .support import (
    OUR_WINDOW,
    Client,
    data_frame,
    fails,
    message,
    reset,
    settings,
    window,
)

# Limits of messages


def test_a_message_over_the_limit_ends_its_stream_alone() -> None:
    client = Client(limit=100)
    client.call(1)
    client.call(3)
    client.feed(data_frame(1, message(bytes(101))[:6]), data_frame(3, message(bytes(100))))

    trailers = client.frames()[0]
    status = client.headers(trailers.payload)
    assert status[b"grpc-status"] == b"8"
    assert status[b"grpc-message"] == b"a message of 101 bytes is larger than the limit of 100"
    assert [event[:2] for event in client.events] == [(1, "lost"), (3, "message")]


def test_a_limit_that_grows_holds_for_the_next_message() -> None:
    client = Client(limit=10)
    handler = client.call()
    handler.max_message_bytes = 20
    client.feed(data_frame(1, message(bytes(20))))

    assert client.events == [(1, "message", bytes(20))]


@pytest.mark.parametrize("cut", [1, 5, 8])
def test_compressed_messages_are_not_taken(cut: int) -> None:
    client = Client()
    client.call()
    whole = message(b"xyz", compressed=1)
    client.feed(data_frame(1, whole[:cut]))
    if cut < len(whole):
        client.feed(data_frame(1, whole[cut:]))

    status = client.headers(client.frames()[0].payload)
    assert status[b"grpc-status"] == b"12"
    assert client.events == [(1, "lost", "compressed messages are not supported")]


# Flow control: what we take


def test_the_client_may_go_on_sending_for_ever() -> None:
    client = Client(limit=OUR_WINDOW)
    client.call()
    piece = data_frame(1, message(bytes(200_000)))
    granted = {0: OUR_WINDOW, 1: OUR_WINDOW}
    for _ in range(400):
        for number in granted:
            granted[number] -= len(piece) - wire.FRAME.size
            assert granted[number] >= 0, "the client would have to wait"
        client.feed(piece)
        for update in client.frames():
            assert update.kind == wire.WINDOW_UPDATE
            granted[update.number] += wire.NUMBER.unpack(update.payload)[0]
            assert granted[update.number] <= OUR_WINDOW

    assert len(client.events) == 400


def test_data_for_a_closed_stream_is_ignored_but_counted() -> None:
    client = Client()
    client.call()
    client.feed(reset(1))
    client.frames()
    for _ in range(40):
        client.feed(data_frame(1, bytes(250_000)))

    [update] = client.frames()
    assert (update.kind, update.number) == (wire.WINDOW_UPDATE, 0)
    assert wire.NUMBER.unpack(update.payload)[0] > OUR_WINDOW // 2


# Flow control: what we send


def test_a_message_larger_than_the_window_waits_for_updates() -> None:
    client = Client()
    stream = client.call().stream
    data = bytes(range(256)) * 400
    stream.send(data)
    sent = client.data()
    assert len(sent) == 65_535

    client.feed(window(1, 1_000_000))
    assert client.data() == b"", "the connection's window is used up"
    client.feed(window(0, 10))
    sent += client.data()
    assert len(sent) == 65_545
    client.feed(window(0, 1_000_000))
    assert sent + client.data() == message(data)


def test_no_frame_is_larger_than_the_client_allows() -> None:
    client = Client()
    stream = client.call().stream
    client.feed(settings((wire.MAX_FRAME_SIZE, 20_000)))
    client.frames()
    stream.send(bytes(50_000))

    sizes = [len(f.payload) for f in client.frames()]
    assert sizes == [20_000, 20_000, 10_005]


def test_streams_share_the_window_of_the_connection() -> None:
    client = Client()
    first, second = client.call(1).stream, client.call(3).stream
    first.send(bytes(65_000))
    second.send(bytes(1_000))
    sent = {f.number: len(f.payload) for f in client.frames() if f.number == 3}
    assert sent == {3: 530}

    client.feed(window(0, 1_000))
    assert len(client.data(3)) == 1_005 - 530


def test_messages_keep_their_order_when_the_window_opens_a_little() -> None:
    client = Client()
    client.feed(settings((wire.INITIAL_WINDOW_SIZE, 0)))
    stream = client.call().stream
    stream.send(b"first")
    client.feed(window(1, 3))
    stream.send(b"second")
    stream.finish()
    stream.send(b"never")
    assert client.data() == message(b"first")[:3]

    client.feed(window(1, 100))
    *data, trailers, _ = client.frames()
    assert b"".join(f.payload for f in data) == (message(b"first") + message(b"second"))[3:]
    assert client.headers(trailers.payload) == {b"grpc-status": b"0"}


def test_a_smaller_initial_window_makes_those_of_streams_negative() -> None:
    client = Client()
    stream = client.call().stream
    stream.send(bytes(995))
    client.frames()
    client.feed(settings((wire.INITIAL_WINDOW_SIZE, 400)))
    assert stream.window == 400 - 1_000
    stream.send(b"x")
    client.feed(window(1, 600))
    assert client.data() == b""

    client.feed(window(1, 1))
    assert len(client.data()) == 1
    client.feed(settings((wire.INITIAL_WINDOW_SIZE, 500)))
    assert client.data() == message(b"x")[1:]


def test_new_settings_let_what_waits_go_on() -> None:
    client = Client()
    client.feed(settings((wire.INITIAL_WINDOW_SIZE, 0)))
    stream = client.call().stream
    stream.send(b"x")
    client.feed(settings((wire.INITIAL_WINDOW_SIZE, 100)))

    assert client.data() == message(b"x")


def test_a_window_beyond_all_bounds_breaks_the_protocol() -> None:
    client = Client()
    client.call()
    assert fails(client, window(1, (1 << 31) - 1)) == wire.FLOW_CONTROL_ERROR


def test_what_waits_is_forgotten_with_its_stream() -> None:
    client = Client()
    stream = client.call().stream
    client.feed(settings((wire.INITIAL_WINDOW_SIZE, 0)))
    stream.send(bytes(100_000))
    stream.finish()
    client.frames()
    client.feed(reset(1), window(0, 1_000_000), settings((wire.INITIAL_WINDOW_SIZE, 1_000_000)))

    assert {f.kind for f in client.frames()} == {wire.SETTINGS}
    assert client.connection.streams == {}
