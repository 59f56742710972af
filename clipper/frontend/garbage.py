"""The garbage collector of a frontend worker: no pause that a query would notice.

A full collection looks at every object of the worker that the collector knows. The predict path
makes no cycles that outlive the youngest generations, so full collections are left to moments
without traffic. What the prediction cache holds, the most by far, the collector does not know.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

_CHECK_EVERY_S = 10.0
_YOUNGEST = 10_000
"""Objects in flight before the collector looks at the youngest. A batch has a few thousand, which
it would look at several times before they go: two or three hundredths of a busy worker's time."""
_NEVER = 1_000_000


def spare_queries_full_collections() -> None:
    """Exempt what was made at start, and end automatic full collections."""
    gc.collect()
    gc.freeze()
    _, middle, _ = gc.get_threshold()
    gc.set_threshold(_YOUNGEST, middle, _NEVER)


async def collect_when_idle(queries_finished: Callable[[], int]) -> None:
    """Collect fully whenever no query has finished for some seconds; runs until cancelled."""
    before = collected_at = queries_finished()
    while True:
        await asyncio.sleep(_CHECK_EVERY_S)
        now = queries_finished()
        if now == before and now != collected_at:
            gc.collect()
            collected_at = now
        before = now
