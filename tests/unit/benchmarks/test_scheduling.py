"""Which processors a benchmark gives to whom."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.scheduling import keep_apart

_TWO_THREADS = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
input()
"""


@pytest.fixture
def waiting() -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes of two threads each."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", _TWO_THREADS]
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.communicate("\n")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_servers_and_clients_share_no_processor(waiting: list[subprocess.Popen[str]]) -> None:
    server, client = waiting
    assert keep_apart([server.pid], [client.pid])
    places = {
        process.pid: [
            os.sched_getaffinity(int(thread)) for thread in os.listdir(f"/proc/{process.pid}/task")
        ]
        for process in waiting
    }
    mine = os.sched_getaffinity(0)
    assert places[server.pid] == [{min(mine)}] * 2
    assert places[client.pid] == [mine - {min(mine)}] * 2


def test_one_processor_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("nothing to move"))
    assert not keep_apart([os.getpid()], [])
