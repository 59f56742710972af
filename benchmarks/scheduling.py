"""Where the kernel lets a process run, and how soon after it wakes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path

_SYSCALLS = {"x86_64": 314, "aarch64": 274}
"""Numbers of sched_setattr, which Python does not know."""
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
_SLICE_NS = 100_000


def ask_for_short_slices() -> bool:
    """Ask for slices of 0.1 ms for this thread, the shortest there are; False where there are none.

    Linux 6.12 or newer lets a thread of short slices run before those of longer ones. One that
    runs little, and late is wrong, such as a load generator beside the server it measures, then
    waits for a fraction of what it would. It gets no more of the processor than before.
    """
    number = _SYSCALLS.get(platform.machine())
    if number is None or platform.system() != "Linux":
        return False
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, 0, 0, 0, 0, _SLICE_NS, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(number, 0, ctypes.create_string_buffer(attributes), 0) == 0)


def keep_apart(servers: Iterable[int], clients: Iterable[int]) -> bool:
    """Hold ``servers`` on the first processor and ``clients`` off it; False if there is only one.

    Where processes are more than processors, the kernel puts a client beside the server in one run
    and not in the next. Both are process ids; threads that a process starts later, and children,
    inherit its place (Linux). All other processes run where they like.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return False
    for pids, processors in ((servers, {first}), (clients, set(others))):
        for pid in pids:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):  # a thread that ended meanwhile
                    os.sched_setaffinity(int(thread.name), processors)
    return True
