"""Requests that come whole, through ASGI: answered by hand, and as uvicorn would answer them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from clipper.frontend.request_head import WHOLE_BODY, HeadCache
from clipper.http_protocol import bounded_protocol
from tests.fakes.virtual_clock import VirtualClock

from .connections import (
    MAX_BODY_BYTES,
    SEND_TIMEOUT_S,
    Reading,
    Transport,
    connected,
    server_protocol,
    split,
    without_ids,
)
from .support import Frontend

BODY = b'{"input":"x"}'
HEAD = b"POST /app/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
REQUEST = HEAD % len(BODY) + BODY

App = Callable[[Any, Any, Any], Any]


def connect(app: App, known: bool = True, loop: Any = None) -> tuple[Any, Transport]:
    """Connect to an application; ``known``: the heads of predict requests are recognised."""
    heads = HeadCache(MAX_BODY_BYTES)
    return connected(app, bounded_protocol(SEND_TIMEOUT_S, heads.read if known else None), loop)


async def turns() -> None:
    """Let the event loop do what is ready."""
    for _ in range(10):
        await asyncio.sleep(0)


# What the application sees


@pytest.mark.parametrize(
    "request_bytes",
    [
        REQUEST,
        REQUEST.replace(b"/app", b"/%61%C3%A9%20/b%2fc"),
        REQUEST.replace(b"/predict", b"/predict/?q=%20&r"),
        REQUEST.replace(b"/app", b"http://other:80/app"),
        REQUEST.replace(b"Host: x", b"HOST: x\r\nX-Twice: 1\r\nx-twice:  2 \r\nCookie:\r\nA: \xff"),
    ],
)
async def test_the_scope_and_the_body_are_those_of_uvicorn(request_bytes: bytes) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, await receive()))

    for known in (True, False):
        protocol, _ = connect(app, known)
        protocol.data_received(request_bytes)
        await turns()

    (scope, message), (expected, its_message) = seen
    assert scope.pop("extensions") == {WHOLE_BODY: {}}
    assert {**scope, "headers": list(scope["headers"])} == expected
    assert message == its_message


async def test_after_the_body_comes_the_end_of_the_connection() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([(await receive())["type"], (await receive())["type"]])

    protocol, transport = connect(app)
    protocol.data_received(REQUEST)
    await turns()
    assert seen == []
    transport.close()
    await turns()
    assert seen == ["http.request", "http.disconnect"]


# What the client sees


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(content: bytes, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, **more}


LENGTH = (b"Content-Length", b"2")
SCRIPTS: dict[str, list[Any]] = {
    "usual": [start(LENGTH, (b"x-a", b"b")), body(b"ok")],
    "another status": [start(LENGTH, status=418), body(b"ok")],
    "a list of headers": [{**start(), "headers": [LENGTH]}, body(b"ok")],
    "lists as headers": [{**start(), "headers": [[b"content-length", b"2"]]}, body(b"ok")],
    "no headers": [{"type": "http.response.start", "status": 200}, body(b"ok")],
    "no length": [start((b"x-a", b"b")), body(b"ok")],
    "in pieces": [start(LENGTH), body(b"o", more_body=True), body(b"k")],
    "in chunks": [start(), body(b"o", more_body=True), body(b"k", more_body=True), body(b"")],
    "asked for chunks": [start((b"transfer-encoding", b"chunked")), body(b"ok")],
    "no body": [start((b"content-length", b"0")), {"type": "http.response.body"}],
    "no content": [start(status=204), body(b"")],
    "the last one": [start(LENGTH, (b"Connection", b"close")), body(b"ok")],
    "too long": [start(LENGTH), body(b"oks")],
    "too short": [start(LENGTH), body(b"o")],
    "strange length": [start((b"content-length", b"two")), body(b"ok")],
    "wrong name": [start(LENGTH, (b"a b", b"c")), body(b"ok")],
    "wrong value": [start(LENGTH, (b"a", b"b\r\nc: d")), body(b"ok")],
    "begun twice": [start(LENGTH), start(LENGTH), body(b"ok")],
    "not begun": [body(b"ok")],
    "ended twice": [start(LENGTH), body(b"ok"), body(b"ok")],
    "a fault": [ArithmeticError()],
    "nothing": [],
}


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_response_is_that_of_uvicorn(name: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in SCRIPTS[name]:
            if isinstance(message, Exception):
                raise message
            await send(message)

    outcomes = []
    for known in (True, False):
        protocol, transport = connect(app, known)
        for _ in range(2):
            if not transport.closed:
                protocol.data_received(REQUEST)
                await turns()
        outcomes.append((transport.closed, transport.take()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("fault", [None, ArithmeticError()])
async def test_a_response_that_is_only_begun_can_still_become_a_500(
    fault: Exception | None,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(LENGTH))
        if fault is not None:
            raise fault

    protocol, transport = connect(app)
    protocol.data_received(REQUEST)
    await turns()
    [(status, _, text)] = split(transport.take())
    assert (status, text) == (500, b"Internal Server Error")
    assert transport.closed


# Without a task, and with one


class Writes(list[bytes]):
    """Counts what goes through a transport's `write`."""

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        transport.write = self.append  # type: ignore[assignment,method-assign]


async def test_a_hit_is_answered_where_its_bytes_came_in_with_one_write() -> None:
    frontend = Frontend()
    container = frontend.serve()
    protocol, transport = server_protocol(frontend, Reading.WHOLE)
    protocol.data_received(REQUEST)
    await frontend.settle()
    container.answer()
    await frontend.settle()
    expected = without_ids(transport.take())
    writes = Writes(transport)

    protocol.data_received(REQUEST)
    assert [without_ids(data) for data in writes] == [expected]
    assert protocol.tasks == set()


async def test_a_miss_waits_in_a_task() -> None:
    frontend = Frontend()
    container = frontend.serve()
    protocol, transport = server_protocol(frontend, Reading.WHOLE)
    protocol.data_received(REQUEST)
    assert len(protocol.tasks) == 1
    await frontend.settle()
    assert transport.take() == b""
    protocol.data_received(REQUEST)  # pipelined: the parser's
    await frontend.settle()

    container.answer()
    await frontend.settle()
    assert [status for status, _, _ in split(transport.take())] == [200, 200]
    assert protocol.tasks == set()


async def test_a_client_that_went_away_meanwhile_is_not_answered() -> None:
    frontend = Frontend()
    container = frontend.serve()
    protocol, transport = server_protocol(frontend, Reading.WHOLE)
    protocol.data_received(REQUEST)
    transport.close()
    await frontend.settle()
    container.answer()
    await frontend.settle()
    assert transport.take() == b""
    assert protocol.tasks == set()


async def test_what_cancels_the_task_reaches_the_application() -> None:
    seen: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as cancelled:
            seen.append(cancelled)
            await asyncio.sleep(0)
            raise

    protocol, _ = connect(app)
    protocol.data_received(REQUEST)
    await turns()
    for task in protocol.tasks:
        task.cancel("enough")
    await turns()
    assert [str(one) for one in seen] == ["enough"]
    assert protocol.tasks == set()


async def test_the_application_may_ask_for_its_task_once_it_has_waited() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        async with asyncio.timeout(1.0):
            await asyncio.sleep(0)
        await send(start(LENGTH))
        await send(body(b"ok"))

    protocol, transport = connect(app)
    protocol.data_received(REQUEST)
    await turns()
    assert [text for _, _, text in split(transport.take())] == [b"ok"]


async def test_a_client_that_reads_slowly_gets_its_answer_later() -> None:
    frontend = Frontend()
    frontend.typed(frontend.app_record().input_type)
    protocol, transport = server_protocol(frontend, Reading.WHOLE)
    protocol.pause_writing()
    protocol.data_received(REQUEST)
    await frontend.settle()
    assert transport.take() == b""

    protocol.resume_writing()
    await frontend.settle()
    assert [status for status, _, _ in split(transport.take())] == [200]


async def test_a_stopping_server_answers_what_is_in_flight_and_closes() -> None:
    frontend = Frontend()
    container = frontend.serve()
    protocol, transport = server_protocol(frontend, Reading.WHOLE)
    protocol.data_received(REQUEST)
    protocol.shutdown()
    await frontend.settle()
    container.answer()
    await frontend.settle()
    [(status, headers, _)] = split(transport.take())
    assert (status, headers["connection"]) == (200, "close")
    assert transport.closed


# What is not whole


@pytest.mark.parametrize(
    "pieces",
    [
        [REQUEST[:30], REQUEST[30:]],
        [REQUEST[:-3], REQUEST[-3:]],
        [REQUEST + REQUEST],
        [REQUEST + REQUEST[:5], REQUEST[5:]],
        [HEAD % 100 + REQUEST, b" " * (100 - len(REQUEST)) + REQUEST],
        [HEAD % (MAX_BODY_BYTES + 1) + REQUEST, b" " * (MAX_BODY_BYTES + 1 - len(REQUEST))],
    ],
)
async def test_a_request_in_a_body_is_no_request(pieces: list[bytes]) -> None:
    """Nor is anything else that the parser must see."""
    outcomes = []
    for reading in (Reading.UVICORN, Reading.WHOLE):
        frontend = Frontend()
        frontend.typed(frontend.app_record().input_type)
        protocol, transport = server_protocol(frontend, reading)
        for piece in [REQUEST, *pieces, REQUEST]:
            protocol.data_received(piece)
            await frontend.settle()
        outcomes.append(without_ids(transport.take()))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].count(b"HTTP/1.1 ") >= 3


# Idle connections


class Loop:
    """An event loop's time and tasks, as far as a connection asks for them."""

    def __init__(self, clock: VirtualClock) -> None:
        self.time = clock.now
        self.call_later = clock.call_later
        self.create_task = asyncio.get_running_loop().create_task


@pytest.mark.parametrize("known", [True, False])
async def test_a_connection_is_closed_when_it_has_been_idle(known: bool) -> None:
    clock = VirtualClock()
    waiting: list[asyncio.Future[None]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if (await receive())["body"] == b"wait":
            waiting.append(asyncio.get_running_loop().create_future())
            await waiting[-1]
        await send(start(LENGTH))
        await send(body(b"ok"))

    protocol, transport = connect(app, known, Loop(clock))
    idle_s = protocol.timeout_keep_alive
    for _ in range(3):
        protocol.data_received(REQUEST)
        await turns()
        assert transport.take()
        clock.advance(0.9 * idle_s)

    protocol.data_received(HEAD % 4 + b"wait")
    await turns()
    clock.advance(3 * idle_s)
    assert not transport.closed
    waiting[0].set_result(None)
    await turns()
    assert transport.take()

    clock.advance(0.9 * idle_s)
    assert not transport.closed
    clock.advance(0.2 * idle_s)
    assert transport.closed


async def test_a_head_that_began_late_has_its_own_time() -> None:
    clock = VirtualClock()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(LENGTH))
        await send(body(b"ok"))

    protocol, transport = connect(app, loop=Loop(clock))
    protocol.data_received(REQUEST)
    transport.take()
    clock.advance(0.9 * protocol.timeout_keep_alive)
    protocol.data_received(REQUEST[:10])
    clock.advance(0.9 * protocol.timeout_keep_alive)
    assert not transport.closed
    protocol.data_received(REQUEST[10:])
    await turns()
    assert [status for status, _, _ in split(transport.take())] == [200]

    protocol.data_received(REQUEST[:10])
    clock.advance(1.1 * protocol.timeout_keep_alive)
    assert [status for status, _, _ in split(transport.take())] == [408]
    assert transport.closed
