"""What the load generator of the benchmarks makes of connections that a server closes."""

from __future__ import annotations

import socket
import threading

import pytest

from benchmarks import load
from benchmarks.spec import LoadSpec

OUTPUT = b'{"query_id":0,"output":0,"default":false}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(OUTPUT), OUTPUT)


@pytest.mark.parametrize(("rest_s", "errors"), [(0.05, 0), (10.0, 1)])
def test_only_a_request_that_crosses_the_close_of_a_resting_connection_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, rest_s: float, errors: int
) -> None:
    monkeypatch.setattr(load, "_RESTED_S", rest_s)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        first, _ = listener.accept()
        with first:
            first.recv(4096)
            first.sendall(ANSWER)
            first.recv(4096)
        second, _ = listener.accept()
        with second:
            while second.recv(4096):
                second.sendall(ANSWER)

    server = threading.Thread(target=serve)
    server.start()
    client = load._Client(
        LoadSpec(
            "127.0.0.1",
            listener.getsockname()[1],
            "/a/predict",
            values=[1.0],
            connections=1,
            duration_s=1.0,
        )
    )
    [connection] = client.pool.connections

    def answered() -> None:
        while not any(client.receive(ready) for ready in client.pool.wait(5.0)):
            pass

    with listener:
        client.send(connection, since_s=connection.free_s)
        answered()
        client.send(connection, since_s=connection.free_s + 0.1)
        answered()
        client.pool.close()
        server.join()
    assert client.recorder.errors == errors
    assert client.recorder.resent == 1 - errors
    assert len(client.recorder.latencies_s) == 2 - errors
