"""Whether the other side of a connection is alive (design decision 4). Pure: times come in.

A side that heard nothing for a second asks with a ping; any byte is an answer. The looker itself
may have been away, held up by the interpreter's lock or a busy machine: a look that comes much
later than it was due judges nobody, since answers may lie unread.
"""

from __future__ import annotations

import enum

from clipper.rpc.channel import KEEPALIVE_INTERVAL_S, KEEPALIVE_TIMEOUT_S

LOOK_S = 0.25
"""How often to look."""
_LATE_S = 0.25


class Verdict(enum.Enum):
    """What a look calls for."""

    NOTHING = "nothing"
    PING = "ping"
    DEAD = "dead"


class Liveness:
    """Signs of life on one connection. Times in seconds of one monotonic clock."""

    __slots__ = ("_due_s", "_heard_s", "_pinged_s")

    def __init__(self, now_s: float) -> None:
        self._heard_s = now_s
        self._pinged_s = 0.0
        """When the ping was sent that has not been answered; 0: there is none."""
        self._due_s = now_s + LOOK_S

    def heard(self, now_s: float) -> None:
        """Bytes came."""
        self._heard_s = now_s
        self._pinged_s = 0.0

    def look(self, now_s: float, timeout_s: float = KEEPALIVE_TIMEOUT_S) -> Verdict:
        """Judge; to be called every `LOOK_S`."""
        late = now_s - self._due_s > _LATE_S
        self._due_s = now_s + LOOK_S
        if late:
            return Verdict.NOTHING
        if not self._pinged_s:
            if now_s - self._heard_s < KEEPALIVE_INTERVAL_S:
                return Verdict.NOTHING
            self._pinged_s = now_s
            return Verdict.PING
        return Verdict.DEAD if now_s - self._pinged_s >= timeout_s else Verdict.NOTHING
