"""How many threads a framework may start in one replica."""

from __future__ import annotations

import os
from collections.abc import Mapping


def thread_count(environ: Mapping[str, str]) -> int:
    """Return ``OMP_NUM_THREADS`` if it is a number, else the CPUs that this process may use.

    Managers set the variable to 1 unless told otherwise: replicas are processes.
    """
    given = environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
