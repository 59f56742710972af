"""Who may send this container its next batch (design decision 3). Pure: no clock, no I/O.

At most `MAX_BATCHES` batches are outstanding or permitted over all streams: one is computed, one
is decoded and waits. With one stream all free credits are granted ahead and held by the frontend.
With several, each credit goes to the stream whose most urgent query has the least time left, and
a frontend that has nothing to send by then gives it back.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

MAX_BATCHES = 2


class Grant(NamedTuple):
    """Credits to tell one stream about. ``credits`` may be 0 when only ``hold`` is news."""

    stream: int
    credits: int
    hold: bool
    hold_changed: bool


@dataclasses.dataclass(slots=True)
class _Stream:
    granted: int = 0
    outstanding: int = 0
    hold: bool | None = None
    """What the worker was told last; None: nothing yet."""
    closing: bool = False
    deadline: float | None = None
    """When the most urgent waiting query is due; None: nothing is known to wait."""
    granted_at: int = 0


class CreditScheduler:
    """Decides grants. Streams are numbered by the caller; numbers are never used twice.

    Every method returns the grants to send now, in order. Deadlines are times of one clock.
    """

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._stopped = False
        self._grants = 0

    def stream_added(self, stream: int) -> list[Grant]:
        """Take a newly registered stream into account."""
        self._streams[stream] = _Stream()
        return self._decide()

    def stream_removed(self, stream: int) -> list[Grant]:
        """Free the credits and the batches of a stream that has ended."""
        self._streams.pop(stream, None)
        return self._decide()

    def stream_closing(self, stream: int) -> list[Grant]:
        """Free the unused credits of a stream that will send no more batches."""
        state = self._streams.get(stream)
        if state is not None:
            state.closing, state.granted, state.deadline = True, 0, None
        return self._decide()

    def batch_received(self, stream: int, deadline: float | None) -> list[Grant]:
        """Count a batch; ``deadline`` is that of the queries behind it, None if there are none."""
        state = self._streams[stream]
        state.granted = max(0, state.granted - 1)
        state.outstanding += 1
        state.deadline = None if state.closing else deadline
        return self._decide()

    def batch_done(self, stream: int) -> list[Grant]:
        """Free the credit of an answered batch; the batches of removed streams are ignored."""
        state = self._streams.get(stream)
        if state is not None:
            state.outstanding -= 1
        return self._decide()

    def demand(self, stream: int, deadline: float | None) -> list[Grant]:
        """Note what waits at a stream that has no credit; None: nothing any more."""
        state = self._streams.get(stream)
        if state is not None and not state.closing:
            state.deadline = deadline
        return self._decide()

    def credit_returned(self, stream: int, count: int) -> list[Grant]:
        """Free ``count`` credits that the stream has no use for."""
        state = self._streams.get(stream)
        if state is not None:
            state.granted = max(0, state.granted - count)
            state.deadline = None
        return self._decide()

    def stop(self) -> None:
        """Grant nothing from now on: the container drains."""
        self._stopped = True

    def outstanding(self, stream: int) -> int:
        """Batches of ``stream`` that were received and not answered."""
        state = self._streams.get(stream)
        return 0 if state is None else state.outstanding

    def granted(self, stream: int) -> int:
        """Credits that ``stream`` has neither used nor returned."""
        state = self._streams.get(stream)
        return 0 if state is None else state.granted

    def _decide(self) -> list[Grant]:
        if self._stopped:
            return []
        open_streams = {n: s for n, s in self._streams.items() if not s.closing}
        if len(open_streams) == 1:
            [(number, state)] = open_streams.items()
            return self._grant_ahead(number, state)
        return self._end_holding(open_streams) + self._grant_by_deadline(open_streams)

    def _free(self) -> int:
        # Closing streams and a batch beyond its credits can make this negative.
        return max(0, MAX_BATCHES - sum(s.granted + s.outstanding for s in self._streams.values()))

    def _grant_ahead(self, number: int, state: _Stream) -> list[Grant]:
        free = self._free()
        changed = not state.hold
        if not free and not changed:
            return []
        state.granted += free
        state.hold = True
        return [Grant(number, free, hold=True, hold_changed=changed)]

    def _end_holding(self, streams: dict[int, _Stream]) -> list[Grant]:
        grants = []
        for number, state in streams.items():
            if state.hold is not False:
                state.hold = False
                grants.append(Grant(number, 0, hold=False, hold_changed=True))
        return grants

    def _grant_by_deadline(self, streams: dict[int, _Stream]) -> list[Grant]:
        grants = []
        for _ in range(self._free()):
            asking = [item for item in streams.items() if item[1].deadline is not None]
            if not asking:
                break
            number, state = min(asking, key=_urgency)
            self._grants += 1
            state.granted += 1
            state.granted_at = self._grants
            state.deadline = None
            grants.append(Grant(number, 1, hold=False, hold_changed=False))
        return grants


def _urgency(item: tuple[int, _Stream]) -> tuple[float, int]:
    """Earliest deadline first; among equals, who was served longest ago."""
    state = item[1]
    return (math.inf if state.deadline is None else state.deadline, state.granted_at)
