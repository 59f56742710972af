"""The predict path past uvicorn: what it answers itself, and what it leaves to uvicorn's class."""

from __future__ import annotations

import json

import pytest

from clipper.frontend.responses import predict_response
from tests.unit.query.support import break_policy

from .connections import (
    KEEP_ALIVE_S,
    MAX_BODY_BYTES,
    Connection,
    answered,
    compute,
    open_connection,
    post,
    settle,
    split,
)
from .support import Frontend

# Answers


async def test_a_miss_is_answered_when_the_container_has_and_a_hit_at_once() -> None:
    connection, container = open_connection()
    connection.send(post("x"))
    settle(connection)
    assert connection.take() == []

    container.answer()
    written = connection.transport.take()
    status, headers, body = split(written)[0]
    assert (status, body) == answered(0, "x")
    assert headers == {"content-type": "application/json", "content-length": str(len(body))}

    connection.send(post("x"))
    assert connection.take() == [answered(1, "x")]
    assert connection.frontend.statuses == [200, 200]
    assert connection.frontend.observer.counts["hit"] == 1
    assert connection.handed_over is None


async def test_a_default_says_so_in_a_header() -> None:
    connection, _ = open_connection()
    connection.send(post("x"))
    connection.frontend.clock.advance(0.2)

    [(status, headers, body)] = split(connection.transport.take())
    assert status == 200
    assert headers["x-clipper-default"] == "slo"
    assert json.loads(body)["default"] is True


@pytest.mark.parametrize(
    ("request_bytes", "status", "text"),
    [
        (post(b"no json"), 400, b"Json error"),
        (post(b""), 400, b"Json error"),
        (post(b'{"input":5}'), 400, b"error"),
        (post(b'{"input":"x","version":"9"}'), 400, b"Requested version"),
        (post("x", b"/other/predict"), 404, b"No application with name 'other' exists."),
        (post("x", b"/a/b/c/predict"), 404, b"No application with name 'a/b/c' exists."),
    ],
)
async def test_requests_that_are_wrong(request_bytes: bytes, status: int, text: bytes) -> None:
    connection, container = open_connection()
    compute(connection, container, "x")
    connection.send(request_bytes)
    [(got, body)] = connection.take()

    assert got == status
    assert text in body
    assert connection.frontend.statuses == [status]
    connection.send(post("x"))
    assert connection.take()[0][0] == 200, "the connection is not good any more"
    assert connection.handed_over is None


async def test_a_policy_that_raises_is_a_500_and_the_connection_goes_on() -> None:
    connection, container = open_connection()
    frontend = connection.frontend
    frontend.configure([frontend.app_record(policy="static")])
    restore = break_policy(frontend)
    connection.send(post("x"))
    settle(connection)
    container.answer()
    assert connection.take() == [(500, b"An unexpected error occurred!")]
    restore()

    connection.send(post("x"))
    assert connection.take() == [answered(1, "x")]


async def test_an_answer_that_cannot_be_written_costs_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frontend = Frontend()
    first, second = Connection(frontend), Connection(frontend)
    container = frontend.serve()
    first.send(post("x"))
    second.send(post("x"))
    settle(first)
    calls: list[int] = []

    def fails_once(queries: object, on_default: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise ArithmeticError("broken")
        return predict_response(queries, on_default)  # type: ignore[arg-type]

    monkeypatch.setattr("clipper.frontend.predictions.predict_response", fails_once)
    container.answer()

    assert first.take() == [(500, b"An unexpected error occurred!")]
    assert second.take() == [answered(1, "x")]


# Several requests on a connection


async def test_two_requests_in_one_read() -> None:
    connection, container = open_connection()
    compute(connection, container, "x")
    connection.send(post("x") + post("x", b"/other/predict") + post("x"))

    assert [status for status, _ in connection.take()] == [200, 404, 200]


async def test_pipelined_requests_wait_for_the_answer_before_them() -> None:
    connection, container = open_connection()
    compute(connection, container, "hit")
    connection.send(post("a") + post("hit"), post("b"), post("hit"))
    settle(connection)
    assert connection.take() == []
    assert container.inputs[1:] == [[b"a"]]

    container.answer()
    settle(connection)
    assert connection.take() == [answered(1, "a"), answered(2, "hit")]
    container.answer()
    settle(connection)
    assert connection.take() == [answered(3, "b"), answered(4, "hit")]


async def test_the_next_request_begins_when_whoever_answered_has_returned() -> None:
    connection, container = open_connection()
    connection.send(post("a") + post("b"))
    settle(connection)
    container.answer()
    assert len(container.inputs) == 1, "submitted from within the dispatcher"
    connection.send(post("c"))
    settle(connection)

    assert container.inputs[1:] == [[b"b"]], "overtaken by what came later"


@pytest.mark.parametrize("cut", [1, 30, 62, 66, 79])
async def test_a_body_in_pieces(cut: int) -> None:
    connection, container = open_connection()
    compute(connection, container, "x")
    request = post("x")
    body_at = request.index(b"\r\n\r\n") + 4
    connection.send(request[: max(cut, body_at)], request[max(cut, body_at) :] + post("x")[:5])

    assert len(connection.take()) == 1
    assert connection.handed_over == post("x")[:5], "the beginning of a head is not for this class"


async def test_a_body_in_many_pieces_with_another_request_behind_it() -> None:
    connection, container = open_connection()
    compute(connection, container, "x", "y")
    request = post("x")
    body_at = request.index(b"\r\n\r\n") + 4
    pieces = [request[:body_at], *(request[i : i + 1] for i in range(body_at, len(request) - 1))]
    connection.send(*pieces)
    assert connection.take() == []

    connection.send(request[-1:] + post("y"))
    assert [body for _, body in connection.take()] == [
        answered(2, "x")[1],
        answered(3, "y")[1],
    ]


async def test_a_body_that_takes_too_long_goes_to_the_other_class() -> None:
    connection, _ = open_connection()
    request = post("x")
    connection.send(request[:-5], request[-5:-3])
    connection.frontend.clock.advance(1.1)
    assert connection.handed_over == request[:-3]

    connection.send(request[-3:])
    assert connection.handed_over == request
    assert connection.take() == []


# What is left to uvicorn's class

HEAD = b"POST /app/predict HTTP/1.1\r\nHost: x\r\n"
LONG = b"Content-Length: 13\r\n\r\n" + b'{"input":"x"}'
UNUSUAL = {
    "get": b"GET /app/predict HTTP/1.1\r\nHost: x\r\n\r\n",
    "put": b"PUT" + HEAD[4:] + LONG,
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length and chunks": HEAD + b"Transfer-Encoding: chunked\r\n" + LONG,
    "http/1.0": HEAD.replace(b"1.1", b"1.0") + LONG,
    "close": HEAD + b"Connection: close\r\n" + LONG,
    "close among others": HEAD + b"Connection: keep-alive, close\r\n" + LONG,
    "expect": HEAD + b"Expect: 100-continue\r\n" + LONG,
    "upgrade": HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + LONG,
    "encoding": HEAD + b"Content-Encoding: gzip\r\n" + LONG,
    "no length": HEAD + b"\r\n",
    "two lengths": HEAD + b"Content-Length: 13\r\n" + LONG,
    "two contradictory lengths": HEAD + b"Content-Length: 5\r\n" + LONG,
    "signed": HEAD + b"Content-Length: +13\r\n\r\n",
    "negative": HEAD + b"Content-Length: -13\r\n\r\n",
    "length with a space": HEAD + b"Content-Length: 1 3\r\n\r\n",
    "list of lengths": HEAD + b"Content-Length: 13, 13\r\n\r\n",
    "no number": HEAD + b"Content-Length: abc\r\n\r\n",
    "empty length": HEAD + b"Content-Length:\r\n\r\n",
    "too large": HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
    "endless number": HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "endless zeros": HEAD + b"Content-Length: " + b"0" * 5000 + b"5\r\n\r\n12345",
    "another verb": HEAD.replace(b"predict", b"update") + LONG,
    "another path": HEAD.replace(b"/app/predict", b"/metrics") + LONG,
    "no application": HEAD.replace(b"/app", b"") + LONG,
    "empty application": HEAD.replace(b"/app", b"/") + LONG,
    "absolute without a path": HEAD.replace(b"/app/predict", b"http://host") + LONG,
    "star": HEAD.replace(b"/app/predict", b"*") + LONG,
    "connect": b"CONNECT a:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "raw bytes in the path": HEAD.replace(b"app", b"\xff") + LONG,
    "folded header": HEAD + b"X: a\r\n b\r\n" + LONG,
    "space before the colon": HEAD + b"X : a\r\n" + LONG,
    "zero byte": HEAD + b"X: \x00\r\n" + LONG,
    "bare line feeds": (HEAD + LONG).replace(b"\r\n", b"\n") + b"\r\n\r\n",
    "a request hidden behind bare line feeds": b"GET /x HTTP/1.1\n\n" + HEAD + LONG,
    "unknown version": HEAD.replace(b"1.1", b"3.7") + LONG,
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "garbage": b"\x00\xff\x00 garbage\r\n\r\n",
    "empty lines": b"\r\n\r\n\r\n",
    "half a head": HEAD,
    "one byte": b"P",
}


@pytest.mark.parametrize("name", UNUSUAL)
async def test_unusual_requests_go_over_byte_for_byte(name: str) -> None:
    connection, container = open_connection()
    compute(connection, container, "x")
    connection.send(post("x") + UNUSUAL[name] + b"more", b"and more")

    assert len(connection.take()) == 1
    assert connection.handed_over == UNUSUAL[name] + b"more" + b"and more"
    assert connection.fallback is not None
    assert connection.fallback.calls == ["connection_made"]
    assert connection.fallback.arguments["config"] == "c"
    assert connection.state.connections == set(), "the other class enters itself"
    connection.frontend.clock.advance(10 * KEEP_ALIVE_S)
    assert not connection.transport.closed, "a timer was left behind"


@pytest.mark.parametrize(
    "request_bytes",
    [
        post("x", b"/%61pp/predict"),
        post("x", b"/app%2fpredict"),
        post("x", b"/app/predict/"),
        post("x", b"/app/predict?q=/other/predict"),
        post("x", b"http://here/app/predict"),
        post("x", headers=b"Connection: Keep-Alive\r\n"),
        post("x", headers=b"Cookie: " + b"c" * 30_000 + b"\r\n"),
        post("x").replace(b"Content-Length: ", b"content-length:\t00"),
        b"\r\n" + post("x"),
    ],
)
async def test_other_ways_to_write_the_same_request(request_bytes: bytes) -> None:
    connection, container = open_connection()
    compute(connection, container, "x")
    connection.send(request_bytes)
    connection.send(request_bytes)

    assert connection.take() == [answered(1, "x"), answered(2, "x")]


async def test_names_may_hold_slashes_and_letters_of_all_kinds() -> None:
    frontend = Frontend()
    names = ["a/b", "é x", "predict"]
    frontend.configure([frontend.app_record(name=name) for name in names])
    connection = Connection(frontend)
    for path in (b"/a/b/predict", b"/%C3%A9%20x/predict", b"/predict/predict"):
        connection.send(post("x", path))

    assert [status for status, _ in connection.take()] == [200, 200, 200]


async def test_before_the_worker_has_started_all_goes_over() -> None:
    connection, _ = open_connection(started=False)
    connection.send(post("x"))

    assert connection.handed_over == post("x")
