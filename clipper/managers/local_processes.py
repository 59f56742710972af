"""The record of a supervisor's processes, and killing what a dead supervisor left behind.

Every child leads a process group. The kernel does not reuse a group's number while the group has
a member, so a recorded group is ours unless its leader lives and started at another time.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from clipper.managers.local_state import read_json, write_json

_SWEEP_LIMIT_S = 5.0
_PROC = Path("/proc")


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: int
    """Clock ticks between boot and the process's start; 0 where there is no /proc."""

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the identity of a process that lives now."""
        return cls(pid, _start_ticks(pid) or 0)

    def is_alive(self) -> bool:
        """Return whether this very process exists and is not a zombie."""
        fields = _stat_fields(self.pid)
        if fields is None:
            return not _PROC.is_dir() and _exists(self.pid)
        return fields[0] not in "ZX" and int(fields[19]) == self.started


def write_children(path: Path, supervisor: ProcessIdentity, children: Sequence[int]) -> None:
    """Record the groups that the supervisor runs now."""
    identities = [dataclasses.astuple(ProcessIdentity.of(pid)) for pid in children]
    value = {
        "boot": _boot_id(),
        "supervisor": dataclasses.astuple(supervisor),
        "children": identities,
    }
    write_json(path, value, durable=False)


def read_supervisor(path: Path) -> ProcessIdentity | None:
    """Return the supervisor that wrote the record, or None if there is none from this boot."""
    record = read_json(path)
    if record is None or record["boot"] != _boot_id():
        return None
    return ProcessIdentity(*record["supervisor"])


def sweep(path: Path, supervisor: ProcessIdentity | None = None) -> None:
    """Kill every recorded group that is left, wait until it is gone and remove the record.

    Args:
        supervisor: act only on the record of this one, so that a late caller does not kill the
            children of its successor.
    """
    recorded_by = read_supervisor(path)
    if recorded_by is not None and supervisor in (None, recorded_by):
        record = read_json(path) or {"children": []}
        for child in record["children"]:
            _kill_group_of(ProcessIdentity(*child))
    if supervisor in (None, recorded_by):
        path.unlink(missing_ok=True)


def signal_group(pgid: int, number: int) -> None:
    """Send a signal to every member of the group; a group that is gone is fine."""
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group of zombies.
        pass


def _kill_group_of(leader: ProcessIdentity) -> None:
    ticks = _start_ticks(leader.pid)
    if ticks is not None and ticks != leader.started:
        return
    signal_group(leader.pid, signal.SIGKILL)
    deadline = time.monotonic() + _SWEEP_LIMIT_S
    while _group_has_living(leader.pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def _group_has_living(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not _PROC.is_dir():
        return True
    numbers = [int(name) for name in os.listdir(_PROC) if name.isdigit()]
    members = (_stat_fields(pid) for pid in numbers)
    return any(m is not None and m[0] not in "ZX" and int(m[2]) == pgid for m in members)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _start_ticks(pid: int) -> int | None:
    fields = _stat_fields(pid)
    return None if fields is None else int(fields[19])


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the state on (proc(5), field 3)."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the command in parentheses and may contain anything.
    return text.rpartition(")")[2].split()


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
