"""New connections do not wait in line for one turn of a busy event loop each."""

from __future__ import annotations

import asyncio
import socket

import uvloop

from clipper.frontend.worker import _HttpServer, listening_socket
from clipper.settings import QueryFrontendSettings

CLIENTS = 128
REQUEST = b"GET /livez HTTP/1.1\r\nHost: clipper\r\n\r\n"


class Turns:
    """Counts the turns of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.count = 0
        self._loop = loop
        self._handle = loop.call_soon(self._turn)

    def _turn(self) -> None:
        self.count += 1
        self._handle = self._loop.call_soon(self._turn)

    def stop(self) -> int:
        self._handle.cancel()
        return self.count


async def answered(client: socket.socket) -> bytes:
    await asyncio.get_running_loop().sock_sendall(client, REQUEST)
    return await asyncio.get_running_loop().sock_recv(client, 12)


async def turns_until_all_are_answered() -> tuple[int, set[bytes]]:
    loop = asyncio.get_running_loop()
    listener = listening_socket("127.0.0.1", 0)
    address = listener.getsockname()
    http = _HttpServer(QueryFrontendSettings(), listener.detach(), alone=True)
    http.waiting("the store is away")

    def connected() -> socket.socket:
        client = socket.create_connection(address)
        client.setblocking(False)
        return client

    clients = [connected()]
    try:
        answers = [await answered(clients[0])]
        clients += [connected() for _ in range(CLIENTS)]
        turns = Turns(loop)
        answers += await asyncio.gather(*(answered(client) for client in clients[1:]))
        return turns.stop(), set(answers)
    finally:
        for client in clients:
            client.close()
        await http.stop()


def test_a_crowd_of_new_connections_is_accepted_within_few_turns() -> None:
    turns, answers = uvloop.run(turns_until_all_are_answered())
    assert answers == {b"HTTP/1.1 200"}
    assert turns < CLIENTS / 2
