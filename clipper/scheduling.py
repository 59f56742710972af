"""Threads that the kernel lets run soon after they wake."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}
"""Numbers of sched_setattr, which Python does not know."""
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
"""Size, policy, flags, nice value, priority, runtime (here the slice), deadline, period."""
_RESET_ON_FORK = 1
_SLICE_NS = 100_000


def ask_for_short_slices() -> bool:
    """Ask for slices of 0.1 ms for this thread, the shortest there are; False where there are none.

    Linux 6.12 or newer lets a thread of short slices run before those of longer ones: one that
    passes messages on need not wait for milliseconds until a model that computes on its processor
    has used up its slice. It gets no more of the processor than before. Nothing that the thread
    starts inherits it. Where policies of the kernel's other than the usual one are in force, and on
    other systems, nothing changes.
    """
    number = _SET_ATTRIBUTES.get(platform.machine())
    if platform.system() != "Linux" or number is None:
        return False
    policy = os.sched_getscheduler(0)
    if policy != os.SCHED_OTHER:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)  # of this thread alone, and set by the same call
    attributes = _ATTRIBUTES.pack(
        _ATTRIBUTES.size, policy, _RESET_ON_FORK, nice, 0, _SLICE_NS, 0, 0
    )
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(number, 0, ctypes.create_string_buffer(attributes), 0) == 0)
