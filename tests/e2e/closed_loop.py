"""Closed-loop HTTP load: so many connections, each sending its next query when it has an answer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from typing import Any


@dataclasses.dataclass
class Answer:
    """What came back on one query."""

    status: int
    body: dict[str, Any]
    reason: str


def closed_loop(address: str, app: str, inputs: list[float], concurrency: int) -> list[Answer]:
    """Send every input once, as ``[value]``, and return the answers in the inputs' order."""
    return asyncio.run(_run(address, app, inputs, concurrency))


async def _run(address: str, app: str, inputs: list[float], concurrency: int) -> list[Answer]:
    answers: dict[int, Answer] = {}
    numbered = iter(enumerate(inputs))
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(_connection(address, app, numbered, answers))
    return [answers[index] for index in range(len(inputs))]


async def _connection(
    address: str, app: str, numbered: Iterator[tuple[int, float]], answers: dict[int, Answer]
) -> None:
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for index, value in numbered:
        body = json.dumps({"input": [value]}).encode()
        writer.write(
            b"POST /%s/predict HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s"
            % (app.encode(), len(body), body)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(
            line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
        )
        content = await reader.readexactly(int(headers["content-length"]))
        reason = headers.get("x-clipper-default", "")
        answers[index] = Answer(int(head.split()[1]), json.loads(content), reason)
    writer.close()
