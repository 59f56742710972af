"""However requests are mixed and cut: each is answered as uvicorn's class alone would answer it."""

from __future__ import annotations

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.query.support import Container

from .connections import Reading, server_protocol, without_ids
from .support import Frontend

HEAD = b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n"
BODIES = [b'{"input":"%d"}' % n for n in range(3)]
BODIES += [b"", b"no json", b'{"input_batch":["0","7"]}', b'{"input":"x","version":"9"}']
PATHS = [b"/app/predict"] * 6
PATHS += [b"/%61pp/predict", b"/app/predict/", b"/app/predict?q", b"/no/predict"]
OTHERS = [
    b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /app/predict HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /app/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5\r\n{"inp\r\n8\r\nut":"0"}\r\n0\r\n\r\n',
    b'POST /app/predict HTTP/1.1\r\nContent-Length: 0000013\r\n\r\n{"input":"1"}',
]
REQUESTS = st.one_of(
    st.builds(
        lambda path, body: HEAD % (path, b"", len(body)) + body,
        st.sampled_from(PATHS),
        st.sampled_from(BODIES),
    ),
    st.sampled_from(OTHERS),
)


class Server:
    """A frontend with one container that answers whatever it gets."""

    def __init__(self, reading: Reading) -> None:
        self.frontend = Frontend()
        self.container: Container = self.frontend.serve()
        self.protocol, self.transport = server_protocol(self.frontend, reading)
        self._answered = 0

    async def drive(self) -> None:
        """Let everything happen that can happen without more bytes."""
        quiet = 0
        while quiet < 3:
            before = self.transport.written
            await self.frontend.settle()
            while self._answered < len(self.container.inputs):
                self.container.answer(self._answered)
                self._answered += 1
            quiet = quiet + 1 if self.transport.written == before else 0

    async def send(self, data: bytes) -> None:
        if self.transport.reading and not self.transport.closed:
            self.transport.protocol.data_received(data)
        else:
            await self.drive()
            self.transport.protocol.data_received(data)

    def end(self) -> bytes:
        self.transport.protocol.connection_lost(None)
        return without_ids(self.transport.take())


async def alone(request: bytes) -> bytes:
    server = Server(Reading.UVICORN)
    await server.send(request)
    await server.drive()
    return server.end()


async def together(reading: Reading, chunks: list[bytes], patient: list[bool]) -> bytes:
    server = Server(reading)
    for chunk, wait in zip(chunks, itertools.cycle(patient)):
        await server.send(chunk)
        if wait:
            await server.drive()
    await server.drive()
    return server.end()


ALONE: dict[bytes, bytes] = {}
"""How uvicorn's class answers each request."""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


@settings(max_examples=120)
@given(
    st.sampled_from([Reading.WHOLE, Reading.PREDICT]),
    st.lists(REQUESTS, min_size=1, max_size=8),
    st.lists(st.integers(0, 1 << 16), max_size=8),
    st.lists(st.booleans(), min_size=1, max_size=4),
)
def test_requests_do_not_feel_each_other(
    reading: Reading, requests: list[bytes], places: list[int], patient: list[bool]
) -> None:
    for request in requests:
        if request not in ALONE:
            ALONE[request] = asyncio.run(alone(request))
            assert ALONE[request].startswith(b"HTTP/1.1 ")

    answers = asyncio.run(together(reading, cut(b"".join(requests), places), patient))
    assert answers == b"".join(ALONE[request] for request in requests)
