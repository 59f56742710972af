"""When a dispatcher looks again: one timer, and a look at the sockets where it fires late."""

from __future__ import annotations

from collections.abc import Callable

from clipper.clock import Cancellable, Clock

LATE_S = 0.0003
"""A timer that fires later than this found the event loop busy, and queries unread."""


class Wake:
    """At most one call of ``callback`` in the future.

    Where the timer is late and ``may_read`` says that there is time, what has arrived is read
    first. A batch without it would be a small one and the batch behind it large, and so on for many
    turns, since handing out the answers of a large one keeps the loop from reading.
    """

    __slots__ = ("_at_s", "_callback", "_clock", "_may_read", "call")

    def __init__(
        self, clock: Clock, callback: Callable[[], None], may_read: Callable[[], bool]
    ) -> None:
        self._clock = clock
        self._callback = callback
        self._may_read = may_read
        self.call: Cancellable | None = None
        """What is to come; read for nearly every query."""
        self._at_s = float("inf")

    def within(self, delay_s: float) -> None:
        """Call after ``delay_s``, or earlier if that was asked for before."""
        at_s = self._clock.now() + delay_s
        if self.call is not None:
            if self._at_s <= at_s:
                return
            self.call.cancel()
        self._at_s = at_s
        self.call = self._clock.call_later(delay_s, self._fired)

    def cancel(self) -> None:
        """Call no more."""
        if self.call is not None:
            self.call.cancel()
            self.call = None

    def _fired(self) -> None:
        if self._clock.now() - self._at_s > LATE_S and self._may_read():
            self.call = self._clock.after_reading(self._run)
        else:
            self._run()

    def _run(self) -> None:
        self.call = None
        self._callback()
