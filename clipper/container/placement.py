"""On which processor the I/O thread runs: beside the model's thread while no processor is idle.

A thread that wakes on a busy processor waits there for milliseconds, while a reply is ready to be
sent, and waits again whenever the model takes the interpreter's lock from it. On the model's own
processor it runs while the model's thread gives way. Where processors are idle the kernel's choice
is better: the next batch is decoded while the model computes.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os

_log = logging.getLogger(__name__)

_LOOK_S = 0.005
_SMOOTHING = 0.05
_CROWDED, _ROOMY = 0.4, 0.2


class Crowding:
    """Whether threads mostly find every processor busy. Pure."""

    __slots__ = ("_processors", "_share", "crowded")

    def __init__(self, processors: int) -> None:
        self.crowded = False
        self._processors = processors
        self._share = 0.0

    def observe(self, running: int) -> None:
        """Take the number of threads that run or wait for a processor, the caller's among them."""
        busy = running >= self._processors
        self._share += _SMOOTHING * (busy - self._share)
        self.crowded = self._share > (_ROOMY if self.crowded else _CROWDED)


class IoPlacement:
    """Moves one thread to the caller's processor and lets it go again.

    Linux alone tells where threads run and how many would. Elsewhere, and where moving a thread is
    forbidden, nothing is done.
    """

    def __init__(self, thread: int, processors: int, load_file: str = "/proc/loadavg") -> None:
        """``thread`` is a native id; ``processors`` are those of the machine."""
        self._thread = thread
        self._crowding = Crowding(processors)
        self._beside: int | None = None
        self._anywhere: set[int] = set()
        """Where the thread may run while it is free."""
        self._looked_s = float("-inf")
        self._load_fd: int | None = None
        # With a single processor every thread is beside every other one.
        if processors > 1 and hasattr(os, "sched_setaffinity"):
            try:
                self._processor = ctypes.CDLL(None).sched_getcpu
                self._load_fd = os.open(load_file, os.O_RDONLY | os.O_CLOEXEC)
            except (OSError, AttributeError) as error:
                _log.debug("The I/O thread stays where the kernel puts it: %s", error)

    def follow(self, now_s: float) -> None:
        """Called by the model's thread before it wakes the I/O thread; costs a microsecond."""
        if self._load_fd is None:
            return
        try:
            if now_s - self._looked_s >= _LOOK_S:
                self._looked_s = now_s
                self._crowding.observe(_running(os.pread(self._load_fd, 128, 0)))
            if self._crowding.crowded:
                here = self._processor()
                if here != self._beside:
                    if self._beside is None:
                        self._anywhere = os.sched_getaffinity(self._thread)
                    os.sched_setaffinity(self._thread, {here})
                    self._beside = here
            else:
                self._let_go()
        except (OSError, ValueError, IndexError) as error:
            _log.debug("The I/O thread follows the model's no more: %s", error)
            self.close()
            with contextlib.suppress(OSError):  # what has failed may fail again
                self._let_go()

    def close(self) -> None:
        """Follow no more. The thread is left alone: it may have ended, and its id be another's."""
        if self._load_fd is not None:
            os.close(self._load_fd)
            self._load_fd = None

    def _let_go(self) -> None:
        if self._beside is not None:
            self._beside = None
            os.sched_setaffinity(self._thread, self._anywhere)


def _running(load: bytes) -> int:
    """Return the runnable threads of the machine: the first number of proc(5)'s ``1/79``."""
    return int(load.split()[3].split(b"/")[0])
