"""The predict path past uvicorn: clients that are idle, slow or gone, and a server that stops."""

from __future__ import annotations

import pytest

from clipper.frontend import predict_protocol

from .connections import (
    KEEP_ALIVE_S,
    SEND_TIMEOUT_S,
    Connection,
    answered,
    compute,
    open_connection,
    post,
    settle,
    split,
)
from .support import Frontend

# Time


async def test_an_idle_connection_is_closed() -> None:
    connection, container = open_connection()
    connection.frontend.clock.advance(KEEP_ALIVE_S - 0.1)
    compute(connection, container, "x")
    connection.frontend.clock.advance(KEEP_ALIVE_S - 0.1)
    assert not connection.transport.closed

    connection.frontend.clock.advance(0.2)
    assert connection.transport.closed


async def test_a_request_that_a_busy_loop_reads_late_finds_its_connection_open() -> None:
    connection, container = open_connection()
    clock = connection.frontend.clock
    clock.call_later(KEEP_ALIVE_S, lambda: connection.send(post("x")))
    clock.advance(KEEP_ALIVE_S)
    assert not connection.transport.closed
    container.answer()
    assert connection.take() == [answered(0, "x")]

    clock.advance(2 * KEEP_ALIVE_S)
    assert connection.transport.closed


async def test_a_connection_that_waits_for_its_answer_is_not_idle() -> None:
    frontend = Frontend()
    connection = Connection(frontend)
    container = frontend.serve(slo_ms=100_000)
    connection.send(post("x"))
    frontend.clock.advance(10 * KEEP_ALIVE_S)
    assert not connection.transport.closed

    container.answer()
    assert connection.take() == [answered(0, "x")]
    frontend.clock.advance(2 * KEEP_ALIVE_S + 0.1)
    assert connection.transport.closed


# Slow and absent clients


async def test_a_client_that_went_away_is_not_answered_but_its_output_is_kept() -> None:
    connection, container = open_connection()
    connection.send(post("x") + post("y"))
    settle(connection)
    request = connection.protocol._request
    assert request is not None
    connection.transport.close()
    connection.protocol.connection_lost(None)
    container.answer()
    settle(connection)

    assert connection.transport.written == b""
    assert not request.queries, "left to the garbage collector"
    assert container.inputs == [[b"x"]], "the request behind it has nobody to answer"
    other = Connection(connection.frontend)
    other.send(post("x"))
    assert len(other.take()) == 1
    assert connection.state.connections == set()
    connection.frontend.clock.advance(10 * SEND_TIMEOUT_S)


async def test_an_answer_leaves_as_it_is_made_but_uvicorns_class_keeps_its_buffer() -> None:
    """With a limit of nothing uvloop writes at once, not when the event loop has gone round."""
    connection, container = open_connection()
    compute(connection, container, "x")
    assert connection.transport.most_buffered == 0

    connection.send(b"GET /api/v1/unknown HTTP/1.1\r\nHost: h\r\n\r\n")
    assert connection.handed_over is not None
    assert connection.transport.most_buffered is None


async def test_a_client_that_reads_slowly_is_asked_for_no_more() -> None:
    connection, container = open_connection()
    compute(connection, container, "x")
    connection.protocol.pause_writing()
    connection.send(post("x"), post("x"))
    assert connection.take() == []

    connection.protocol.resume_writing()
    assert connection.take() == [answered(1, "x"), answered(2, "x")]
    connection.frontend.clock.advance(SEND_TIMEOUT_S)
    assert not connection.transport.aborted


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    connection, _ = open_connection()
    connection.protocol.pause_writing()
    connection.frontend.clock.advance(SEND_TIMEOUT_S + 0.1)

    assert connection.transport.aborted


async def test_a_body_may_be_arriving_when_the_client_stops_to_read() -> None:
    """uvloop says so only after the answer before it was taken."""
    connection, container = open_connection()
    compute(connection, container, "x")
    request = post("x")
    connection.send(request + request[:-3])
    connection.protocol.pause_writing()
    connection.send(request[-3:-1])
    assert len(connection.take()) == 1
    connection.send(request[-1:])
    assert connection.take() == []

    connection.protocol.resume_writing()
    assert connection.take() == [answered(2, "x")]


async def test_a_late_body_goes_over_whole_although_the_client_does_not_read() -> None:
    connection, _ = open_connection()
    request = post("x")
    connection.send(request[:-3])
    connection.protocol.pause_writing()
    connection.send(request[-3:-1])
    connection.frontend.clock.advance(1.1)

    assert connection.handed_over == request[:-1]
    assert connection.fallback is not None
    assert connection.fallback.calls == ["connection_made", "pause_writing"]


async def test_little_is_held_behind_a_request_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_protocol, "_MAX_HELD_BYTES", 200)
    connection, container = open_connection()
    compute(connection, container, "hit")
    connection.send(post("x"), post("hit"))
    assert connection.transport.reading
    connection.send(post("hit"), post("hit"))
    assert not connection.transport.reading

    settle(connection)
    container.answer()
    settle(connection)
    assert connection.transport.reading
    assert len(connection.take()) == 4


async def test_reading_goes_on_only_when_what_was_held_can_be_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predict_protocol, "_MAX_HELD_BYTES", 10)
    connection, container = open_connection()
    connection.send(post("x"), post("y"))
    settle(connection)
    connection.protocol.pause_writing()
    container.answer()
    settle(connection)
    assert not connection.transport.reading

    connection.protocol.resume_writing()
    settle(connection)
    assert connection.transport.reading
    assert container.inputs == [[b"x"], [b"y"]]


# The end


async def test_an_idle_connection_is_closed_by_a_stopping_server() -> None:
    connection, _ = open_connection()
    assert connection.state.connections == {connection.protocol}
    connection.protocol.shutdown()

    assert connection.transport.closed


async def test_a_request_in_flight_is_answered_by_a_stopping_server() -> None:
    connection, container = open_connection()
    connection.send(post("x") + post("y"))
    settle(connection)
    connection.protocol.shutdown()
    assert not connection.transport.closed
    container.answer()
    settle(connection)

    [(status, headers, body)] = split(connection.transport.take())
    assert (status, body) == answered(0, "x")
    assert headers["connection"] == "close"
    assert connection.transport.closed


async def test_a_body_in_pieces_is_served_by_a_stopping_server() -> None:
    connection, container = open_connection()
    compute(connection, container, "x")
    connection.send(post("x")[:-2])
    connection.protocol.shutdown()
    assert not connection.transport.closed
    connection.send(post("x")[-2:] + post("x"))

    [(_, headers, _)] = split(connection.transport.take())
    assert headers["connection"] == "close"
    assert connection.transport.closed


async def test_a_late_body_of_a_stopping_server_is_the_other_class_s_to_end() -> None:
    connection, _ = open_connection()
    connection.send(post("x")[:-2])
    connection.protocol.shutdown()
    connection.frontend.clock.advance(1.1)

    assert connection.fallback is not None
    assert connection.fallback.calls == ["connection_made", "shutdown"]


async def test_a_retiring_server_ends_each_connection_behind_an_answer() -> None:
    connection, container = open_connection()
    compute(connection, container, "x")
    connection.door.retiring = True
    assert not connection.transport.closed, "an idle client may be about to send"
    connection.send(post("x"))

    [(_, headers, _)] = split(connection.transport.take())
    assert headers["connection"] == "close"
    assert connection.transport.closed
