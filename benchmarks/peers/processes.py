"""Processes of a server: all of them, however they were started, and none left behind.

Every process of a server inherits an environment variable with a value of its own, so that ones
that left their parent's session, or lost their parent, are found as well (Linux).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MARKER_VARIABLE = "PEERS_SERVER"
_KILL_AFTER_S = 4.0
_TICK_S = 0.05


def members(marker: str) -> list[int]:
    """Return the living processes that carry the marker, and their descendants."""
    parents = _parents()
    wanted = f"{MARKER_VARIABLE}={marker}".encode()
    found = {pid for pid in parents if wanted in _environment_of(pid)}
    # A process may overwrite its environment to show a title; its parent still tells.
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that these have used, with that of children they waited for."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def end(marker: str, main: int = 0) -> None:
    """End all processes with the marker: ``main`` first and politely, then the others."""
    if main:
        _signal([main], signal.SIGTERM)
        _wait(marker, _KILL_AFTER_S)
    for number in (signal.SIGTERM, signal.SIGKILL):
        rest = members(marker)
        _signal(rest, number)
        if rest:
            _wait(marker, 2.0)


@contextlib.contextmanager
def guarded(marker: str) -> Iterator[None]:
    """For the block, have another process end the marked ones should this process just vanish."""
    guard = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers.processes", marker],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert guard.stdin is not None
    try:
        yield
    finally:
        guard.stdin.close()
        guard.wait()


def _parents() -> dict[int, int]:
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    found[int(entry)] = int(fields[1])
    return found


def _environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait(marker: str, limit_s: float) -> None:
    give_up_s = time.monotonic() + limit_s
    while members(marker) and time.monotonic() < give_up_s:
        time.sleep(_TICK_S)


def main() -> None:
    """Be the guard: wait until standard input ends, then end what is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.read()
    end(sys.argv[1])


if __name__ == "__main__":
    main()
