from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from clipper.clock import LoopClock


@pytest.mark.parametrize("new_event_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_has_arrived_is_read_before(
    new_event_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    events: list[str] = []
    ours, theirs = socket.socketpair()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        clock, done = LoopClock(loop), loop.create_future()

        def read() -> None:
            ours.recv(1)
            events.append("read")

        def after() -> None:
            events.append("after")
            done.set_result(None)

        def fired() -> None:
            theirs.send(b"x")
            clock.after_reading(lambda: events.append("cancelled")).cancel()
            clock.after_reading(after)

        loop.add_reader(ours, read)
        clock.call_later(0.002, fired)
        await asyncio.wait_for(done, 10)
        loop.remove_reader(ours)

    with ours, theirs, asyncio.Runner(loop_factory=new_event_loop) as runner:
        ours.setblocking(False)
        runner.run(run())
    assert events == ["read", "after"]
