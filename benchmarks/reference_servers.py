"""The two lowest lines of the ladder: what the language, and what the HTTP server, can do at all.

``python -m benchmarks.reference_servers PORT bare|asgi``
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import httptools
import msgspec
import uvicorn
import uvloop

BODY = b'{"query_id":123456789012,"output":1.0,"default":false}'
_REPLY = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    + BODY
)


class BareResponder(asyncio.Protocol):
    """Parses the request and answers a constant: the ceiling for any server in this language."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derive from nothing
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """httptools calls this at the end of each request."""
        self._transport.write(_REPLY)


class _Body(msgspec.Struct):
    input: list[float]


_decode = msgspec.json.Decoder(_Body).decode
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def empty_app(scope: Any, receive: Any, send: Any) -> None:
    """Decode the body as Clipper does, then answer a constant."""
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    _decode(body)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def serve_bare(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(BareResponder, "127.0.0.1", port)
    await server.serve_forever()


def serve_asgi(port: int) -> None:
    """Serve with the settings of Clipper's query frontend."""
    uvicorn.run(
        empty_app,
        host="127.0.0.1",
        port=port,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=2048,
    )


def main() -> None:
    """Serve what the command line names."""
    port, kind = int(sys.argv[1]), sys.argv[2]
    if kind == "bare":
        uvloop.run(serve_bare(port))
    else:
        serve_asgi(port)


if __name__ == "__main__":
    main()
