"""No server of the comparison is left behind, whatever becomes of the harness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid

import pytest

from benchmarks.peers import processes

_LEAVES_ITS_SESSION = "setsid sleep 60 & exec setsid sleep 60"


@pytest.fixture
def marker() -> str:
    return uuid.uuid4().hex


def _start(marker: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, processes.MARKER_VARIABLE: marker}
    return subprocess.Popen(["sh", "-c", _LEAVES_ITS_SESSION], env=environment)


def _wait_for(marker: str, count: int) -> None:
    give_up_s = time.monotonic() + 10
    while len(processes.members(marker)) != count:
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def test_processes_that_left_their_session_are_ended_too(marker: str) -> None:
    with _start(marker) as process:
        _wait_for(marker, 2)
        processes.end(marker, process.pid)
    assert processes.members(marker) == []


def test_a_harness_that_is_killed_leaves_nothing(marker: str) -> None:
    code = (
        "import sys, time\nfrom benchmarks.peers import processes\n"
        f"with processes.guarded({marker!r}):\n    print('on', flush=True)\n    time.sleep(60)\n"
    )
    harness = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert harness.stdout is not None
    with harness, _start(marker):
        harness.stdout.readline()
        _wait_for(marker, 2)
        harness.send_signal(signal.SIGKILL)
        _wait_for(marker, 0)
