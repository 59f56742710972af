"""The demo that new users run first holds what it claims, on this host."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120.0

pytestmark = [pytest.mark.local, pytest.mark.timeout(LIMIT_S + 30)]


@contextlib.contextmanager
def occupied(port: int) -> Iterator[None]:
    """Make sure that the port is taken, by us or by whoever has it already."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


def run_demo() -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "digits_demo.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    except BaseException:
        process.terminate()  # it stops its cluster on SIGTERM
        process.communicate(timeout=60)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def test_demo_serves_rolls_out_and_back_and_leaves_nothing_behind() -> None:
    pytest.importorskip("sklearn")
    with occupied(1338):
        done = run_demo()
    text = done.stdout
    assert done.returncode == 0, text
    assert "FAIL" not in text, text
    assert "management port 1338 is taken: using" in text, text
    assert re.search(r"OK +all 1798 queries answered by the model", text), text
    assert re.search(r"OK +the second time every image came from the cache", text), text
    assert re.search(r"OK +no query lost: \d{3,} sent, 0 lost", text), text
    assert re.search(r"OK +once the call had returned only version 2 answered", text), text
    assert re.search(r"OK +rollback took one call", text), text
    assert re.search(r"OK +nothing left running", text), text
    before, after = map(float, re.findall(r"accuracy ([\d.]+)% before .* ([\d.]+)% after", text)[0])
    assert 40 < before < 90 < after, text
