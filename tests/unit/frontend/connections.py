"""Connections to a `Frontend` through its HTTP protocols, without sockets."""

from __future__ import annotations

import asyncio
import enum
import json
import re
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from clipper.frontend.predict_protocol import PredictDoor, PredictProtocol
from clipper.frontend.request_head import HeadCache
from clipper.http_protocol import bounded_protocol
from tests.unit.query.support import Container

from .support import Frontend

KEEP_ALIVE_S = 5.0
SEND_TIMEOUT_S = 20.0
MAX_BODY_BYTES = 100_000
FIRST_QUERY_ID = 7 << 32


class Transport(asyncio.Transport):
    """Keeps what is written; the test says when the client is slow or gone."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.aborted = False
        self.reading = True
        self.most_buffered: int | None = None
        self.protocol: Any = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written behind the end"
        self.written += data

    def take(self) -> bytes:
        """Return what was written since the last time."""
        written, self.written = self.written, b""
        return written

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(lambda: self.protocol.connection_lost(None))

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.closed, "uvloop raises here"
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.most_buffered = high

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default


class Fallback(asyncio.Protocol):
    """Stands for uvicorn's class and records what it is given."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.received = b""
        self.calls: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("connection_made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("connection_lost")

    def data_received(self, data: bytes) -> None:
        self.received += data

    def pause_writing(self) -> None:
        self.calls.append("pause_writing")

    def shutdown(self) -> None:
        self.calls.append("shutdown")


class Connection:
    """One client's connection to a frontend."""

    def __init__(self, frontend: Frontend, started: bool = True) -> None:
        self.frontend = frontend
        self.state = ServerState()
        self.fallback: Fallback | None = None
        self.door = PredictDoor(
            frontend.clock,
            HeadCache(MAX_BODY_BYTES),
            KEEP_ALIVE_S,
            SEND_TIMEOUT_S,
            self._fall_back,
        )
        if started:
            self.door.predictions = frontend.predictions
        self.transport = Transport()
        self.protocol: PredictProtocol = self.door.protocol(server_state=self.state, config="c")
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)

    def _fall_back(self, **arguments: Any) -> Fallback:
        assert self.fallback is None, "handed over twice"
        self.fallback = Fallback(**arguments)
        return self.fallback

    def send(self, *parts: bytes) -> None:
        """Let the parts arrive one by one."""
        for part in parts:
            self.transport.protocol.data_received(part)

    def take(self) -> list[tuple[int, bytes]]:
        """Return status and body of each answer since the last time."""
        return [(status, body) for status, _, body in split(self.transport.take())]

    @property
    def handed_over(self) -> bytes | None:
        """What the other class received; None: the connection is still here."""
        return None if self.fallback is None else self.fallback.received


def post(body: bytes | str, path: bytes = b"/app/predict", headers: bytes = b"") -> bytes:
    if isinstance(body, str):
        body = json.dumps({"input": body}).encode()
    head = b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n"
    return head % (path, headers, len(body)) + body


def open_connection(started: bool = True) -> tuple[Connection, Container]:
    frontend = Frontend()
    return Connection(frontend, started), frontend.serve()


def settle(connection: Connection) -> None:
    connection.frontend.clock.settle()


def compute(connection: Connection, container: Container, *texts: str) -> None:
    """Have the outputs of some inputs in the cache."""
    for text in texts:
        connection.send(post(text))
        settle(connection)
        container.answer()
    connection.take()
    connection.frontend.statuses.clear()


def answered(number: int, text: str) -> tuple[int, bytes]:
    return 200, b'{"query_id":%d,"output":"out:%b","default":false}' % (
        FIRST_QUERY_ID + number,
        text.encode(),
    )


def split(written: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Cut what a server wrote into answers; all of it must belong to one."""
    answers = []
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers["content-length"])
        assert len(rest) >= size, "half an answer"
        answers.append((int(first.split()[1]), headers, rest[:size]))
        written = rest[size:]
    return answers


def without_ids(written: bytes) -> bytes:
    """Take out the ids of queries, which differ from run to run."""
    return re.sub(rb'"query_id":\d+', b'"query_id":N', written)


class Reading(enum.Enum):
    """The ways in which a worker may read HTTP."""

    UVICORN = "uvicorn's class, with limits"
    WHOLE = "the same, and whole requests with known heads by hand"
    PREDICT = "the class for predict requests, with that one behind it"


def server_protocol(frontend: Frontend, reading: Reading) -> tuple[Any, Transport]:
    """Connect to a frontend through the protocol that a worker would use."""
    heads = HeadCache(MAX_BODY_BYTES)
    read_head = None if reading is Reading.UVICORN else heads.read
    slow: Any = bounded_protocol(SEND_TIMEOUT_S, read_head)
    door = PredictDoor(frontend.clock, heads, KEEP_ALIVE_S, SEND_TIMEOUT_S, slow)
    door.predictions = frontend.predictions
    return connected(frontend.http, door.protocol if reading is Reading.PREDICT else slow)


def connected(app: Any, http: Any, loop: Any = None) -> tuple[Any, Transport]:
    """Connect to an ASGI application through what uvicorn takes as its ``http`` setting."""
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=http,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    config.load()
    state = ServerState()
    made: Any = config.http_protocol_class
    more = {} if loop is None else {"_loop": loop}
    protocol = made(config=config, server_state=state, app_state={}, **more)
    transport = Transport()
    transport.protocol = protocol
    protocol.connection_made(transport)
    return protocol, transport
